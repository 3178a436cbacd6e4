CREATE SCHEMA d
---
ok



CREATE MODEL d.m OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g']) AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
ok



CREATE MODEL d.sex OPTIONS(model_type='logistic_reg', input_label_cols=['sex']) AS SELECT * FROM penguins WHERE sex IS NOT NULL
---
ok



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], num_cluster=4)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: NUM_CLUSTER is not an option of LINEAR_REG.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], num_cluster=4)
                                                                         ^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', l1_regs=1.0)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: L1_REGS is not an option of LINEAR_REG.
  3 | OPTIONS(model_type='linear_reg', l1_regs=1.0)
                                       ^^^^^^^
Hint: did you mean L1_REG?



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_rge')
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
NameError: MODEL_TYPE must be a known model type. Got 'linear_rge'.
  3 | OPTIONS(model_type='linear_rge')
                         ^^^^^^^^^^^^
Hint: did you mean LINEAR_REG?



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type=3)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: MODEL_TYPE must be a STRING. Got 3.
  3 | OPTIONS(model_type=3)
                         ^



CREATE OR REPLACE MODEL d.x
OPTIONS(l2_reg=1)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: MODEL_TYPE must be given.
  2 | CREATE OR REPLACE MODEL d.x
                              ^^^
Hint: add MODEL_TYPE='LINEAR_REG' (or another type) to OPTIONS.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass'])
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
SchemaError: the label column body_mass must be in the training query.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass'])
                                                         ^^^^^^^^^^^
Hint: did you mean body_mass_g?



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg')
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
SchemaError: the label column label must be in the training query.
  4 | AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
Hint: add INPUT_LABEL_COLS=['...'] to OPTIONS, or name a column label.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['species'])
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
SchemaError: the label of a regression must be a number. species is STRING.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['species'])
                                                         ^^^^^^^^^
Hint: use a classifier, or cast the label to FLOAT64.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg=-1)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: L2_REG must be at least 0. Got -1.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg=-1)
                                                                                ^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg='a')
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: L2_REG must be a FLOAT64. Got 'a'.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg='a')
                                                                                ^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], data_split_method='RANDM')
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: DATA_SPLIT_METHOD must be one of AUTO_SPLIT, RANDOM, CUSTOM, SEQ, NO_SPLIT. Got 'RANDM'.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], data_split_method='RANDM')
                                                                                           ^^^^^^^
Hint: did you mean 'RANDOM'?



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], learn_rate=0.1)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: LEARN_RATE must be given only with LEARN_RATE_STRATEGY='CONSTANT'.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], learn_rate=0.1)
                                                                         ^^^^^^^^^^
Hint: add LEARN_RATE_STRATEGY='CONSTANT', or use LS_INIT_LEARN_RATE.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], max_iterations=0)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: MAX_ITERATIONS must be at least 1. Got 0.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], max_iterations=0)
                                                                                        ^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], data_split_method='CUSTOM')
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: DATA_SPLIT_COL must be given when DATA_SPLIT_METHOD is 'CUSTOM'.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], data_split_method='CUSTOM')
                                                                         ^^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], data_split_method='CUSTOM', data_split_col='sex')
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
SchemaError: DATA_SPLIT_COL must be a BOOL column for a CUSTOM split. Got sex STRING.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], data_split_method='CUSTOM', data_split_col='sex')
                                                                                                     ^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], warm_start=true)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: WARM_START must be given only for a model that exists.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], warm_start=true)
                                                                         ^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='logistic_reg', input_label_cols=['sex'], class_weights=[('MALE',0.5)])
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
DataError: the label sex must not be NULL in any row.
  3 | OPTIONS(model_type='logistic_reg', input_label_cols=['sex'], class_weights=[('MALE',0.5)])
                                         ^^^^^^^^^^^^^^^^
Hint: add WHERE sex IS NOT NULL to the training query.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg=1, l2_reg=2)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: L2_REG must be given once.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], l2_reg=1, l2_reg=2)
                                                                                   ^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], calculate_p_values=true)
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: CALCULATE_P_VALUES must come with CATEGORY_ENCODING_METHOD='DUMMY_ENCODING'.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], calculate_p_values=true)
                                                                         ^^^^^^^^^^^^^^^^^^
Hint: add CATEGORY_ENCODING_METHOD='DUMMY_ENCODING'.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='tensorflow', input_label_cols=['body_mass_g'])
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
NotSupportedError: MODEL_TYPE 'TENSORFLOW' cannot be trained here: imported TensorFlow models are not supported.
  3 | OPTIONS(model_type='tensorflow', input_label_cols=['body_mass_g'])
                         ^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g','sex'])
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
OptionError: INPUT_LABEL_COLS must name exactly one column. Got 2.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g','sex'])
                                                         ^^^^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT * FROM penguins
---
DataError: the label body_mass_g must not be NULL in any row.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
                                       ^^^^^^^^^^^^^^^^
Hint: add WHERE body_mass_g IS NOT NULL to the training query.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT * FROM penguin
---
NameError: the table penguin does not exist.
  4 | AS SELECT * FROM penguin
                       ^^^^^^^
Hint: did you mean penguins?



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT * FROM penguins WHERE FALSE
---
DataError: the training query must return rows. It returns none.
  4 | AS SELECT * FROM penguins WHERE FALSE
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT body_mass_g FROM penguins WHERE body_mass_g IS NOT NULL
---
SchemaError: the training query must have at least one feature column.
  4 | AS SELECT body_mass_g FROM penguins WHERE body_mass_g IS NOT NULL
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT body_mass_g, NULL AS z FROM penguins WHERE body_mass_g IS NOT NULL
---
SchemaError: LINEAR_REG cannot take this column as a feature: z (NULL).
  4 | AS SELECT body_mass_g, NULL AS z FROM penguins WHERE body_mass_g IS NOT NULL
                                     ^
Hint: leave them out of the SELECT, or cast them to a type that is accepted.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT body_mass_g, CAST(NULL AS FLOAT64) AS z FROM penguins WHERE body_mass_g IS NOT NULL
---
DataError: the column z must have a value in some row. Every value is NULL.
  4 | AS SELECT body_mass_g, CAST(NULL AS FLOAT64) AS z FROM penguins WHERE body_mass_g IS NOT NULL
                                                      ^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT body_mass_g, clumen FROM penguins
---
ProgrammingError: the column clumen does not exist.
  4 | AS SELECT body_mass_g, clumen FROM penguins
                             ^^^^^^
Hint: the nearest names are culmen_depth_mm, culmen_length_mm, flipper_length_mm, island.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT body_mass_g, body_mass_g/0 z FROM penguins WHERE body_mass_g IS NOT NULL
---
ProgrammingError: division by zero.
  4 | AS SELECT body_mass_g, body_mass_g/0 z FROM penguins WHERE body_mass_g IS NOT NULL
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT IF(sex='MALE',CAST('NaN' AS FLOAT64),1.0) body_mass_g, species FROM penguins
---
DataError: the label body_mass_g must be finite. Some row has NaN or infinity.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
                                       ^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT species, IF(sex='MALE',CAST('inf' AS FLOAT64),1.0) body_mass_g FROM penguins
---
DataError: the label body_mass_g must be finite. Some row has NaN or infinity.
  3 | OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
                                       ^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT body_mass_g, IF(sex='MALE',CAST('inf' AS FLOAT64),1.0) z FROM penguins WHERE body_mass_g IS NOT NULL
---
DataError: the column z must be finite. It holds an infinite value.
  4 | AS SELECT body_mass_g, IF(sex='MALE',CAST('inf' AS FLOAT64),1.0) z FROM penguins WHERE body_mass_g IS NOT NULL
                                                                       ^
Hint: filter the rows, or use IF(IS_INF(z), NULL, z).



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT a.*, b.* FROM penguins a, penguins b
---
SchemaError: the columns of the training query must differ. Got species twice.
  4 | AS SELECT a.*, b.* FROM penguins a, penguins b
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT body_mass_g, [STRUCT(STRUCT(1 AS q) AS b)] z FROM penguins
---
SchemaError: LINEAR_REG cannot take this column as a feature: z (ARRAY<STRUCT<b STRUCT<q INT64>>>).
  4 | AS SELECT body_mass_g, [STRUCT(STRUCT(1 AS q) AS b)] z FROM penguins
                                                           ^
Hint: leave them out of the SELECT, or cast them to a type that is accepted.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELEC 1
---
SyntaxError: SELEC must not stand here.
  4 | AS SELEC 1
         ^^^^^
Hint: did you mean SELECT?



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT FROM
---
SyntaxError: SELECT must be followed by a column.
  4 | AS SELECT FROM
         ^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT * FROM dd.penguins
---
NameError: the dataset dd does not exist.
  4 | AS SELECT * FROM dd.penguins
                       ^^^^^^^^^^^
Hint: CREATE SCHEMA dd



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT * FROM p.d.nope
---
NameError: the table nope does not exist.
  4 | AS SELECT * FROM p.d.nope
                           ^^^^



CREATE OR REPLACE MODEL nods.x
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
NameError: the dataset nods does not exist.
  2 | CREATE OR REPLACE MODEL nods.x
                              ^^^^^^
Hint: CREATE SCHEMA nods



CREATE OR REPLACE MODEL a.b.c.d
OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
NameError: the name of a model must have at most three parts.
  2 | CREATE OR REPLACE MODEL a.b.c.d
                              ^^^^^^^



CREATE MODEL d.m OPTIONS(model_type='linear_reg') AS SELECT 1 AS label, 2 AS x
---
ProgrammingError: the model d.m already exists.
  2 | CREATE MODEL d.m OPTIONS(model_type='linear_reg') AS SELECT 1 AS label, 2 AS x
                   ^^^
Hint: write CREATE OR REPLACE MODEL, or CREATE MODEL IF NOT EXISTS.



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='logistic_reg', input_label_cols=['k'])
AS SELECT 1 k, body_mass_g FROM penguins
---
DataError: the label k must have at least two values. Got only '1'.
  3 | OPTIONS(model_type='logistic_reg', input_label_cols=['k'])
                                         ^^^^^^^^^^^^^^^^



CREATE OR REPLACE MODEL d.x
OPTIONS(model_type='logistic_reg', input_label_cols=['k'])
AS SELECT CAST(body_mass_g AS STRING) k, flipper_length_mm FROM penguins WHERE body_mass_g IS NOT NULL
---
DataError: the label k must have at most 50 values. Got more.
  3 | OPTIONS(model_type='logistic_reg', input_label_cols=['k'])
                                         ^^^^^^^^^^^^^^^^



SELECT * FROM ML.PREDICT(MODEL d.mm, TABLE penguins)
---
NameError: the model d.mm does not exist.
  2 | SELECT * FROM ML.PREDICT(MODEL d.mm, TABLE penguins)
                                     ^^^^
Hint: did you mean d.m?



SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT species FROM penguins))
---
SchemaError: the input of the model d.m must have columns that it lacks: island, culmen_length_mm, culmen_depth_mm, flipper_length_mm, sex.
  2 | SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT species FROM penguins))
                                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
Hint: it was trained on: species, island, culmen_length_mm, culmen_depth_mm, flipper_length_mm, sex.



SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT * REPLACE('a' AS culmen_length_mm) FROM penguins))
---
SchemaError: the input of the model d.m must have the types of its training: culmen_length_mm was FLOAT64, is STRING.
  2 | SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT * REPLACE('a' AS culmen_length_mm) FROM penguins))
                                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



SELECT * FROM ML.PREDICT(MODEL d.m)
---
ProgrammingError: ML.PREDICT must be given input data.
  2 | SELECT * FROM ML.PREDICT(MODEL d.m)
                    ^^^^^^^^^^
Hint: add TABLE t or (SELECT ...) to the arguments of ML.PREDICT.



SELECT * FROM ML.PREDICT(TABLE penguins)
---
ProgrammingError: ML.PREDICT must be given a MODEL.
  2 | SELECT * FROM ML.PREDICT(TABLE penguins)
                    ^^^^^^^^^^
Hint: write ML.PREDICT(MODEL dataset.model, TABLE t)



SELECT * FROM ML.PREDICTT(MODEL d.m, TABLE penguins)
---
NameError: ML.PREDICTT is not a function.
  2 | SELECT * FROM ML.PREDICTT(MODEL d.m, TABLE penguins)
                    ^^^^^^^^^^^
Hint: did you mean ML.PREDICT?



SELECT * FROM ML.PREDICT(MODEL d.m, TABLE penguins, STRUCT(0.5 AS threshold))
---
OptionError: THRESHOLD must be given only for models with two labels.
  2 | SELECT * FROM ML.PREDICT(MODEL d.m, TABLE penguins, STRUCT(0.5 AS threshold))
                                                                 ^^^



SELECT * FROM ML.PREDICT(MODEL d.sex, TABLE penguins, STRUCT(1.5 AS treshold))
---
OptionError: TRESHOLD is not an option of ML.PREDICT.
  2 | SELECT * FROM ML.PREDICT(MODEL d.sex, TABLE penguins, STRUCT(1.5 AS treshold))
                                                                          ^^^^^^^^
Hint: did you mean THRESHOLD?



SELECT * FROM ML.EVALUATE(MODEL d.sex, STRUCT(0.5 AS threshold))
---
OptionError: THRESHOLD must be given only for models with two labels.
  2 | SELECT * FROM ML.EVALUATE(MODEL d.sex, STRUCT(0.5 AS threshold))
                                                    ^^^



SELECT * FROM ML.EVALUATE(MODEL d.m, (SELECT * EXCEPT(body_mass_g) FROM penguins))
---
SchemaError: the input of ML.EVALUATE must have the label column body_mass_g.
  2 | SELECT * FROM ML.EVALUATE(MODEL d.m, (SELECT * EXCEPT(body_mass_g) FROM penguins))
                                            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



SELECT * FROM ML.ROC_CURVE(MODEL d.sex)
---
OptionError: ML.ROC_CURVE must be given a model with two labels. d.sex has 3.
  2 | SELECT * FROM ML.ROC_CURVE(MODEL d.sex)
                    ^^^^^^^^^^^^



SELECT * FROM ML.WEIGHTS(MODEL d.m, TABLE penguins)
---
ProgrammingError: ML.WEIGHTS takes no input data.
  2 | SELECT * FROM ML.WEIGHTS(MODEL d.m, TABLE penguins)
                                                ^^^^^^^^



SELECT prdicted FROM ML.PREDICT(MODEL d.m, TABLE penguins)
---
ProgrammingError: the column prdicted does not exist.
  2 | SELECT prdicted FROM ML.PREDICT(MODEL d.m, TABLE penguins)
             ^^^^^^^^
Hint: the nearest names are predicted_body_mass_g, species, flipper_length_mm.



DROP MODEL d.zz
---
NameError: the model d.zz does not exist.
  2 | DROP MODEL d.zz
                 ^^^^



DROP MODEL IF EXISTS d.zz
---
ok



EXPORT MODEL d.m OPTIONS(URI='x')
---
NotSupportedError: EXPORT MODEL is not available yet.
  2 | EXPORT MODEL d.m OPTIONS(URI='x')
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



ALTER MODEL d.m SET OPTIONS(descripton='x')
---
OptionError: DESCRIPTON is not an option of ALTER MODEL.
  2 | ALTER MODEL d.m SET OPTIONS(descripton='x')
                                  ^^^^^^^^^^
Hint: did you mean description?



SET sqlml.fidelty = 'x'
---
OptionError: sqlml.fidelty is not a setting.
  2 | SET sqlml.fidelty = 'x'
      ^^^^^^^^^^^^^^^^^^^^^^^
Hint: did you mean fidelity?



SET sqlml.fidelity = 'x'
---
OptionError: FIDELITY must be one of BEST, BIGQUERY. Got 'x'.
  2 | SET sqlml.fidelity = 'x'
      ^^^^^^^^^^^^^^^^^^^^^^^^



SELECT * FROM ML.PREDICT(MODEL d.m, TABLE penguinz)
---
NameError: the table penguinz does not exist.
  2 | SELECT * FROM ML.PREDICT(MODEL d.m, TABLE penguinz)
                                                ^^^^^^^^
Hint: did you mean penguins?



SELECT ML.BUCKETIZ(1,[2])
---
NameError: ML.BUCKETIZ is not a function that is known here.
  2 | SELECT ML.BUCKETIZ(1,[2])
             ^^^^^^^^^^^
Hint: did you mean ML.BUCKETIZE?



SELECT ML.PREDICT(MODEL d.m, TABLE penguins)
---
ProgrammingError: ML.PREDICT must stand in FROM.
  2 | SELECT ML.PREDICT(MODEL d.m, TABLE penguins)
             ^^^^^^^^^^
Hint: write SELECT ... FROM ML.PREDICT(...).



SHOW MODELS LIKE 'm%'
---
dataset | name | model_type | created | modified | description
d | m | LINEAR_REG | <time> | <time> | NULL



SELECT * FROM ML.EVALUATE(MODEL d.m, (SELECT * FROM penguins WHERE FALSE))
---
DataError: the evaluation must have at least one row with a label.
  2 | SELECT * FROM ML.EVALUATE(MODEL d.m, (SELECT * FROM penguins WHERE FALSE))
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



CREATE TABLE keyed (x INT64 PRIMARY KEY, y STRING)
---
NotSupportedError: PRIMARY KEY must end with NOT ENFORCED: keys are not checked.
  2 | CREATE TABLE keyed (x INT64 PRIMARY KEY, y STRING)
                          ^



CREATE TABLE keyed (x INT64, FOREIGN KEY (x) REFERENCES penguins(body_mass_g))
---
NotSupportedError: REFERENCES must end with NOT ENFORCED: keys are not checked.
  2 | CREATE TABLE keyed (x INT64, FOREIGN KEY (x) REFERENCES penguins(body_mass_g))
                                                ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^



CREATE TABLE keyed (x INT64 CHECK (x > 0))
---
NotSupportedError: CHECK in CREATE TABLE is not available.
  2 | CREATE TABLE keyed (x INT64 CHECK (x > 0))
                          ^^^^^^^^^^^^^^^^^^^^
Hint: check the rows with ASSERT after loading them.



CREATE TABLE keyed (x INT64 UNIQUE)
---
NotSupportedError: UNIQUE in CREATE TABLE is not available.
  2 | CREATE TABLE keyed (x INT64 UNIQUE)
                          ^
Hint: check the rows with ASSERT after loading them.



CREATE TEMP FUNCTION twice(a FLOAT64) AS (a * 2)
---
ok



CREATE MODEL d.twice TRANSFORM(twice(culmen_length_mm) AS z, body_mass_g) OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g']) AS SELECT culmen_length_mm, body_mass_g FROM penguins WHERE body_mass_g IS NOT NULL
---
ProgrammingError: TRANSFORM must not hold the user-defined function TWICE.
  2 | CREATE MODEL d.twice TRANSFORM(twice(culmen_length_mm) AS z, body_mass_g) OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'])
                                     ^^^^^
