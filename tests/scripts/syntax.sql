CREATE SCHEMA my_data
---
ok


CREATE MODEL `my-project.my_data.m` # comment
OPTIONS(model_type = "linear_reg", /* the label */ input_label_cols = ['body_mass_g'],) -- end
AS SELECT * FROM `my-project`.main.penguins WHERE body_mass_g IS NOT NULL
---
ok


CREATE MODEL IF NOT EXISTS my_data.m OPTIONS(model_type='linear_reg') AS SELECT 1 AS label, 2 AS x
---
ok


SELECT COUNT(*) AS n FROM ML.PREDICT(MODEL my_data.m, TABLE penguins) WHERE predicted_body_mass_g > 4000
---
n
192


SELECT p.species, ROUND(AVG(p.predicted_body_mass_g), 1) AS mean FROM ML.PREDICT(MODEL my_data.m, (SELECT * FROM penguins)) AS p GROUP BY 1 ORDER BY 1
---
species | mean
Adelie Penguin (Pygoscelis adeliae) | 3700.5
Chinstrap penguin (Pygoscelis antarctica) | 3733.1
Gentoo penguin (Pygoscelis papua) | 5072.8


SELECT (SELECT ROUND(mean_absolute_error, 3) FROM ML.EVALUATE(MODEL my_data.m)) AS mae, EXISTS(SELECT 1 FROM ML.WEIGHTS(MODEL my_data.m)) AS some
---
mae | some
227.012 | True


WITH a AS (SELECT * FROM penguins WHERE island = 'Dream'), b AS (SELECT * FROM ML.PREDICT(MODEL my_data.m, (SELECT * FROM a WHERE sex = 'MALE'))) SELECT COUNT(*) AS n FROM b
---
n
62


SELECT COUNT(*) AS n FROM (SELECT * FROM ML.PREDICT(MODEL my_data.m, TABLE penguins) UNION ALL SELECT * FROM ML.PREDICT(MODEL my_data.m, TABLE penguins)) LIMIT 5 OFFSET 0
---
n
688


SELECT ROUND(a.predicted_body_mass_g - b.predicted_body_mass_g, 6) AS difference FROM ML.PREDICT(MODEL my_data.m, (SELECT * FROM penguins LIMIT 1)) a CROSS JOIN ML.PREDICT(MODEL my_data.m, (SELECT * FROM penguins LIMIT 1)) b
---
difference
0


CREATE TABLE my_data.scored AS SELECT * FROM ML.PREDICT(MODEL my_data.m, (SELECT * FROM ML.PREDICT(MODEL my_data.m, TABLE penguins)))
---
ok


SELECT COUNT(*) AS n FROM my_data.scored
---
n
344


CREATE OR REPLACE VIEW my_data.v AS SELECT species, predicted_body_mass_g FROM ML.PREDICT(MODEL my_data.m, TABLE penguins)
---
ok


SELECT COUNT(DISTINCT species) AS n FROM my_data.v
---
n
3


CREATE VIEW my_data.v AS SELECT * FROM ML.WEIGHTS(MODEL my_data.m)
---
ProgrammingError: my_data.v already exists.
  1 | CREATE VIEW my_data.v AS SELECT * FROM ML.WEIGHTS(MODEL my_data.m)
                  ^^^^^^^^^
Hint: CREATE OR REPLACE VIEW


DROP VIEW my_data.v
---
ok


SELECT * FROM my_data.v
---
NameError: the table v does not exist.
  1 | SELECT * FROM my_data.v
                            ^


SELECT processed_input FROM ML.WEIGHTS(MODEL my_data.m) ORDER BY 1
---
processed_input
__INTERCEPT__
culmen_depth_mm
culmen_length_mm
flipper_length_mm
island
sex
species


ALTER MODEL IF EXISTS my_data.nope SET OPTIONS(description='x')
---
ok


ALTER MODEL my_data.m SET OPTIONS(description='weight of penguins', labels=[('team', 'a')])
---
ok


SELECT model_name, model_type, description FROM my_data.INFORMATION_SCHEMA.MODELS
---
model_name | model_type | description
m | LINEAR_REG | weight of penguins


DROP MODEL my_data.m
---
ok


SHOW MODELS
---
dataset | name | model_type | created | modified | description


SET sqlml.dialect = 'duckdb'
---
ok


SELECT list_sum([1, 2]) AS s, count(*) FILTER (WHERE island = 'Dream') AS n FROM penguins
---
s | n
3 | 124
