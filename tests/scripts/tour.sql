CREATE SCHEMA d
---
ok



CREATE MODEL d.m OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g']) AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
ok



CREATE MODEL `proj-x.d.sex` OPTIONS(model_type='logistic_reg', labels=['sex'], model_registry='vertex_ai') AS SELECT * FROM `proj-x.main.penguins` WHERE sex IS NOT NULL AND sex <> '.'
---
Warning: MODEL_REGISTRY: it is kept with the model; no outside service is asked.



SHOW MODELS
---
dataset | name | model_type | created | modified | description
d | m | LINEAR_REG | <time> | <time> | NULL
d | sex | LOGISTIC_REG | <time> | <time> | NULL



SELECT * FROM d.INFORMATION_SCHEMA.MODELS
---
model_catalog | model_schema | model_name | model_type | creation_time | last_modified_time | description | training_query
memory | d | m | LINEAR_REG | <time> | <time> | NULL | SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
memory | d | sex | LOGISTIC_REG | <time> | <time> | NULL | SELECT * FROM `proj-x.main.penguins` WHERE sex IS NOT NULL AND sex <> '.'



SELECT * FROM ML.WEIGHTS(MODEL d.m)
---
processed_input | weight | category_weights
species | NULL | [{category: Adelie Penguin (Pygoscelis adeliae), weight: 749.407}, {category: Chinstrap penguin (Pygoscelis antarctica), weight: 478.153}, {category: Gentoo penguin (Pygoscelis papua), weight: 1736.38}]
island | NULL | [{category: Biscoe, weight: 1060.43}, {category: Dream, weight: 1042.73}, {category: Torgersen, weight: 1036.46}]
culmen_length_mm | 20.049 | []
culmen_depth_mm | 70.4024 | []
flipper_length_mm | 15.8217 | []
sex | NULL | [{category: _null_filler, weight: 834.53}, {category: ., weight: 863.834}, {category: FEMALE, weight: 864.857}, {category: MALE, weight: 1244.1}]
__INTERCEPT__ | -4216.45 | []



SELECT * FROM ML.WEIGHTS(MODEL d.sex, STRUCT(TRUE AS standardize))
---
processed_input | weight | category_weights
species | NULL | [{category: Adelie Penguin (Pygoscelis adeliae), weight: 4.5096}, {category: Chinstrap penguin (Pygoscelis antarctica), weight: -2.89309}, {category: Gentoo penguin (Pygoscelis papua), weight: -3.91801}]
island | NULL | [{category: Biscoe, weight: 0.096527}, {category: Dream, weight: 0.420685}, {category: Torgersen, weight: -0.411331}]
culmen_length_mm | 3.36015 | []
culmen_depth_mm | 3.24224 | []
flipper_length_mm | 0.373572 | []
body_mass_g | 4.68542 | []
__INTERCEPT__ | 0.145642 | []



SELECT * FROM ML.FEATURE_INFO(MODEL d.m)
---
input | min | max | mean | median | stddev | category_count | null_count | dimension
species | NULL | NULL | NULL | NULL | NULL | 3 | 0 | NULL
island | NULL | NULL | NULL | NULL | NULL | 3 | 0 | NULL
culmen_length_mm | 32.1 | 59.6 | 43.9219 | 44.4 | 5.45958 | NULL | 0 | NULL
culmen_depth_mm | 13.1 | 21.5 | 17.1512 | 17.3 | 1.97479 | NULL | 0 | NULL
flipper_length_mm | 172 | 231 | 200.915 | 197 | 14.0617 | NULL | 0 | NULL
sex | NULL | NULL | NULL | NULL | NULL | 3 | 8 | NULL



SELECT COUNT(*) AS n, MIN(recall) AS lo, MAX(recall) AS hi FROM ML.ROC_CURVE(MODEL d.sex)
---
n | lo | hi
101 | 0.00595238 | 1



SELECT * FROM ML.ROC_CURVE(MODEL d.sex, (SELECT * FROM penguins WHERE sex IN ('MALE','FEMALE')), GENERATE_ARRAY(0.4,0.6,0.1))
---
threshold | recall | false_positive_rate | true_positives | false_positives | true_negatives | false_negatives
0.4 | 0.952381 | 0.0969697 | 160 | 16 | 149 | 8
0.5 | 0.922619 | 0.0727273 | 155 | 12 | 153 | 13
0.6 | 0.904762 | 0.0606061 | 152 | 10 | 155 | 16



SELECT * FROM ML.CONFUSION_MATRIX(MODEL d.sex)
---
expected_label | FEMALE | MALE
FEMALE | 153 | 12
MALE | 13 | 155



SELECT * FROM ML.CONFUSION_MATRIX(MODEL d.sex, TABLE penguins, STRUCT(0.9 AS threshold))
---
expected_label | FEMALE | MALE
. | 1 | 0
FEMALE | 163 | 2
MALE | 46 | 122



SELECT * FROM ML.EVALUATE(MODEL d.sex)
---
precision | recall | accuracy | f1_score | log_loss | roc_auc
0.928144 | 0.922619 | 0.924925 | 0.925373 | 0.18926 | 0.977706



SELECT predicted_sex, predicted_sex_probs, species FROM ML.PREDICT(MODEL d.sex, (SELECT * FROM penguins WHERE island='Biscoe'), STRUCT(0.55 AS threshold)) ORDER BY body_mass_g LIMIT 2 OFFSET 1
---
predicted_sex | predicted_sex_probs | species
FEMALE | [{label: MALE, prob: 0.000231887}, {label: FEMALE, prob: 0.999768}] | Adelie Penguin (Pygoscelis adeliae)
FEMALE | [{label: MALE, prob: 9.99473e-05}, {label: FEMALE, prob: 0.9999}] | Adelie Penguin (Pygoscelis adeliae)



WITH p AS (SELECT * FROM penguins WHERE island = 'Biscoe'), q AS (SELECT * FROM ML.PREDICT(MODEL d.m, TABLE p)) SELECT q.species, AVG(predicted_body_mass_g) a FROM q JOIN (SELECT DISTINCT species FROM p) USING (species) GROUP BY 1 ORDER BY 2
---
species | a
Adelie Penguin (Pygoscelis adeliae) | 3709.66
Gentoo penguin (Pygoscelis papua) | 5072.84



SELECT a.predicted_body_mass_g, b.predicted_sex FROM ML.PREDICT(MODEL d.m, TABLE penguins) a JOIN ML.PREDICT(MODEL d.sex, TABLE penguins) b ON a.species=b.species AND a.culmen_length_mm=b.culmen_length_mm LIMIT 2
---
predicted_body_mass_g | predicted_sex
3348.24 | FEMALE
3873.61 | MALE



CREATE TABLE d.pred AS SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT * FROM penguins)) UNION ALL SELECT * FROM ML.PREDICT(MODEL d.m, (SELECT * FROM penguins))
---
ok



SELECT COUNT(*) FROM d.pred
---
f0_
688



INSERT INTO d.pred SELECT * FROM ML.PREDICT(MODEL d.m, TABLE penguins)
---
ok



CREATE VIEW d.v AS SELECT * FROM ML.PREDICT(MODEL d.m, TABLE penguins)
---
ok



SELECT COUNT(*), AVG(predicted_body_mass_g) FROM d.v WHERE species LIKE 'Gen%'
---
f0_ | f1_
124 | 5072.84



DROP VIEW d.v
---
ok



EXPLAIN CREATE OR REPLACE MODEL d.m OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g']) AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
plan
CREATE MODEL d.m (LINEAR_REG)
  rows: read where they lie, because it is a plain scan
  label: body_mass_g FLOAT64
  columns: species STRING, island STRING, culmen_length_mm FLOAT64, culmen_depth_mm FLOAT64, flipper_length_mm FLOAT64, body_mass_g FLOAT64, sex STRING
  split: AUTO_SPLIT



ALTER MODEL d.m SET OPTIONS(description='hello', labels=[('a','b')])
---
ok



SHOW MODELS LIKE 'm%'
---
dataset | name | model_type | created | modified | description
d | m | LINEAR_REG | <time> | <time> | hello



CREATE OR REPLACE MODEL d.w TRANSFORM(ML.STANDARD_SCALER(culmen_length_mm) OVER() AS c, island, body_mass_g) OPTIONS(model_type='linear_reg', input_label_cols=['body_mass_g'], category_encoding_method='dummy_encoding', calculate_p_values=true) AS SELECT * FROM penguins WHERE body_mass_g IS NOT NULL
---
ok



SELECT * FROM ML.PREDICT(MODEL d.w, (SELECT culmen_length_mm, island, 1 AS extra FROM penguins)) LIMIT 3
---
predicted_body_mass_g | culmen_length_mm | island | extra
3129.28 | 36.6 | Dream | 1
3376.07 | 39.8 | Dream | 1
3460.9 | 40.9 | Dream | 1



SELECT * FROM ML.ADVANCED_WEIGHTS(MODEL d.w)
---
processed_input | category | weight | standard_error | p_value
c | NULL | 421.039 | 28.9739 | 7.63219e-48
island | Biscoe | 0 | nan | nan
island | Dream | -919.074 | 58.6223 | 2.1418e-55
island | Torgersen | -523.292 | 85.5495 | 9.54552e-10
__INTERCEPT__ | NULL | 4613.02 | NULL | NULL



SELECT * FROM ML.ADVANCED_WEIGHTS(MODEL d.m)
---
NotSupportedError: the model d.m was trained without p-values.
  2 | SELECT * FROM ML.ADVANCED_WEIGHTS(MODEL d.m)
                    ^^^^^^^^^^^^^^^^^^^
Hint: train with CALCULATE_P_VALUES=TRUE and CATEGORY_ENCODING_METHOD='DUMMY_ENCODING'.



SELECT * FROM ML.EVALUATE(MODEL d.w, TABLE penguins)
---
mean_absolute_error | mean_squared_error | mean_squared_log_error | median_absolute_error | r2_score | explained_variance
392.43 | 239339 | 0.0150222 | 333.367 | 0.626762 | 0.626762



SELECT table_name, column_name, data_type, is_nullable FROM d.INFORMATION_SCHEMA.COLUMNS ORDER BY table_name, ordinal_position LIMIT 4
---
table_name | column_name | data_type | is_nullable
pred | predicted_body_mass_g | FLOAT64 | YES
pred | species | STRING | YES
pred | island | STRING | YES
pred | culmen_length_mm | FLOAT64 | YES



SELECT table_schema, table_name, table_type FROM `region-us`.INFORMATION_SCHEMA.TABLES ORDER BY 1, 2
---
table_schema | table_name | table_type
d | pred | BASE TABLE
main | penguins | BASE TABLE



SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA ORDER BY 1
---
schema_name
d
main
