CREATE TABLE t AS SELECT x, MOD(x, 7) AS k, CAST(MOD(x, 3) AS STRING) AS c, 2.0 * x + IF(MOD(x, 3) = 1, 5.0, 0.0) AS y, IF(x + MOD(x, 7) > 55, 'yes', 'no') AS label FROM UNNEST(GENERATE_ARRAY(1, 100)) AS x
---
ok


CREATE MODEL exact OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT x, c, y FROM t
---
ok


SELECT ROUND(mean_absolute_error, 9) AS mae, ROUND(r2_score, 9) AS r2 FROM ML.EVALUATE(MODEL exact)
---
mae | r2
0 | 1


SELECT predicted_y FROM ML.PREDICT(MODEL exact, (SELECT 200 AS x, '1' AS c UNION ALL SELECT 200, 'unseen' UNION ALL SELECT NULL, '1' UNION ALL SELECT 10, NULL)) ORDER BY 1
---
predicted_y
-29.65
106
350.35
405


CREATE MODEL descent OPTIONS(model_type='linear_reg', input_label_cols=['y'], optimize_strategy='batch_gradient_descent', max_iterations=5) AS SELECT x, c, y FROM t
---
ok


SELECT iteration, loss, learning_rate FROM ML.TRAINING_INFO(MODEL descent)
---
iteration | loss | learning_rate
4 | 10.4366 | 0.4
3 | 60.0341 | 0.8
2 | 720.212 | 0.4
1 | 4160.65 | 0.2
0 | 9454.43 | 0.1


CREATE MODEL ridge OPTIONS(model_type='linear_reg', input_label_cols=['y'], l2_reg=1.0, fit_intercept=FALSE) AS SELECT x, c, y FROM t
---
ok


SELECT processed_input, weight FROM ML.WEIGHTS(MODEL ridge, STRUCT(TRUE AS standardize)) WHERE weight IS NOT NULL
---
processed_input | weight
x | 28.865


CREATE MODEL sparse OPTIONS(model_type='linear_reg', input_label_cols=['y'], l1_reg=50.0) AS SELECT x, k, y FROM t
---
ok


SELECT processed_input, weight FROM ML.WEIGHTS(MODEL sparse, STRUCT(TRUE AS standardize))
---
processed_input | weight
x | 7.51793
k | 0
__INTERCEPT__ | 102.7


CREATE MODEL yes_no OPTIONS(model_type='logistic_reg', l2_reg=0.001) AS SELECT x, k, label FROM t
---
ok


SELECT precision, recall, accuracy FROM ML.EVALUATE(MODEL yes_no)
---
precision | recall | accuracy
1 | 1 | 1


SELECT * FROM ML.CONFUSION_MATRIX(MODEL yes_no)
---
expected_label | no | yes
no | 52 | 0
yes | 0 | 48


SELECT predicted_label, label FROM ML.PREDICT(MODEL yes_no, (SELECT 90 AS x, 3 AS k, 'kept' AS label))
---
predicted_label | label
yes | kept


CREATE OR REPLACE MODEL yes_no OPTIONS(model_type='logistic_reg', l2_reg=0.001, warm_start=TRUE) AS SELECT x, k, label FROM t
---
ok


SELECT training_run, MAX(iteration) > 0 AS several FROM ML.TRAINING_INFO(MODEL yes_no) GROUP BY 1 ORDER BY 1
---
training_run | several
0 | True
1 | False


CREATE MODEL weighted OPTIONS(model_type='logistic_reg', class_weights=[('yes', 0.9), ('no', 0.1)], l2_reg=0.01) AS SELECT x, k, label FROM t
---
ok


CREATE MODEL three OPTIONS(model_type='logistic_reg', input_label_cols=['c'], l2_reg=0.1) AS SELECT x, k, c FROM t
---
ok


SELECT class_label, processed_input FROM ML.WEIGHTS(MODEL three)
---
class_label | processed_input
0 | x
0 | k
0 | __INTERCEPT__
1 | x
1 | k
1 | __INTERCEPT__
2 | x
2 | k
2 | __INTERCEPT__


SELECT predicted_c, ARRAY_LENGTH(predicted_c_probs) AS n FROM ML.PREDICT(MODEL three, (SELECT 5 AS x, 1 AS k))
---
predicted_c | n
2 | 3


CREATE MODEL split OPTIONS(model_type='linear_reg', input_label_cols=['y'], data_split_method='SEQ', data_split_col='x', data_split_eval_fraction=0.1) AS SELECT x, k, y FROM t
---
ok


SELECT ROUND(mean_absolute_error, 2) > 0 AS held_out FROM ML.EVALUATE(MODEL split)
---
held_out
True


CREATE MODEL one OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT 1.0 AS x, 2.0 AS y
---
ok


SELECT predicted_y FROM ML.PREDICT(MODEL one, (SELECT 7.0 AS x))
---
predicted_y
2


CREATE MODEL stepped OPTIONS(model_type='linear_reg', input_label_cols=['y'], learn_rate_strategy='constant', learn_rate=0.1, max_iterations=3) AS SELECT x, c, y FROM t
---
ok


SELECT iteration, learning_rate FROM ML.TRAINING_INFO(MODEL stepped) ORDER BY iteration
---
iteration | learning_rate
0 | 0.1
1 | 0.1
2 | 0.1


CREATE MODEL noted OPTIONS(model_type='linear_reg', input_label_cols=['y'], max_iterations=3, early_stop=FALSE) AS SELECT x, c, y FROM t
---
Warning: EARLY_STOP, MAX_ITERATIONS have no effect, because the normal equations are solved exactly. OPTIMIZE_STRATEGY='BATCH_GRADIENT_DESCENT' takes steps.


EXPLAIN CREATE MODEL listed OPTIONS(model_type='linear_reg', input_label_cols=['y']) AS SELECT x, c, y FROM t WHERE x IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)
---
plan
CREATE MODEL main.listed (LINEAR_REG)
  rows: read where they lie, because it is a plain scan
  label: y FLOAT64
  columns: x INT64, c STRING, y FLOAT64
  split: AUTO_SPLIT
