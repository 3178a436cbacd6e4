"""What a connection knows: its database, its settings, how names are resolved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlml.catalog import Catalog
from sqlml.database import Database
from sqlml.errors import NameError, OptionError, Span, did_you_mean
from sqlml.functions.base import Context
from sqlml.functions.univariate import located
from sqlml.grammar import Name
from sqlml.options import Given, convert, declarations, option
from sqlml.schema import same_name
from sqlml.translate.sums import Sums


@dataclass(frozen=True)
class Settings:
    """The settings of `SET sqlml.name = value`."""

    fidelity: Literal["BEST", "BIGQUERY"] = option("BEST", "Best answer, or the service's habits.")
    dialect: Literal["BIGQUERY", "DUCKDB"] = option("BIGQUERY", "The SQL dialect of queries.")
    device: Literal["AUTO", "CPU", "CUDA"] = option("AUTO", "Where networks are trained.")
    seed: int = option(0, "Seed of everything random.", low=0)
    timesfm: str | None = option(
        None,
        "Path of TimesFM's weights for AI.FORECAST, AI.EVALUATE and AI.DETECT_ANOMALIES: model.safetensors or its"
        " folder.",
    )


SETTINGS = declarations(Settings)


@dataclass(slots=True)
class Session:
    """A database and its settings."""

    database: Database
    settings: Settings = field(default_factory=Settings)
    catalogs: dict[str, Catalog] = field(default_factory=dict)
    mounts: dict[str, Any] = field(default_factory=dict)
    scope: Mapping[str, Any] | None = None
    borrowed: list[str] = field(default_factory=list)
    #: DuckDB literals of the script variables that the running statement means, by lower-case name.
    variables: dict[str, str] = field(default_factory=dict)
    #: What is known of sums of dates and integers, while a statement that failed for one is tried again.
    sums: Sums | None = None
    #: Procedures of CREATE PROCEDURE; what they are is the script package's business.
    procedures: dict[tuple[str, ...], Any] = field(default_factory=dict)

    def set(self, name: str, value: object, span: Span | None, *, place: Span | None = None) -> None:
        """SET sqlml.name = value, or the same from Python (without `span`).

        Args:
            place: where the value stands.

        Raises:
            OptionError: an unknown setting or a wrong value.
            NotSupportedError, FormatError: weights that cannot be used, or not by statements.
        """
        if name not in SETTINGS:
            hint = did_you_mean(name, SETTINGS)
            raise OptionError(f"sqlml.{name} is not a setting.", span=span, hint=hint)
        found = convert(SETTINGS[name], Given(value, span, span))
        if name == "timesfm" and found is not None:
            # The header is checked now; the absolute path stays true when the working folder changes.
            found = str(located(self.database, str(found), place or span, asked=span is not None).path)
        values: dict[str, Any] = {name: found}
        self.settings = dataclasses.replace(self.settings, **values)

    def user_functions(self) -> frozenset[str]:
        """Names of the functions that CREATE FUNCTION made or that the user registered."""
        rows = self.database.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions()"
            " WHERE NOT internal AND NOT starts_with(function_name, 'sqlml_')"
        )
        return frozenset(str(r[0]) for r in rows)

    @property
    def fidelity(self) -> Literal["best", "bigquery"]:
        """'best' or 'bigquery'."""
        return "bigquery" if self.settings.fidelity == "BIGQUERY" else "best"

    @property
    def dialect(self) -> Literal["bigquery", "duckdb"]:
        """The dialect of queries."""
        return "duckdb" if self.settings.dialect == "DUCKDB" else "bigquery"

    def borrow(self, table: Any) -> str:
        """The name under which a Python object is readable until the next statement."""
        name = self.database.fresh_name("borrowed")
        self.database.register(name, table)
        self.borrowed.append(name)
        return name

    def give_back(self) -> None:
        """Forget the objects of the last statement, and the caller's variables."""
        self.scope = None
        for name in self.borrowed:
            self.database.unregister(name)
        self.borrowed.clear()

    def current(self) -> tuple[str, str]:
        """(catalog, schema) of names without them."""
        row = self.database.execute("SELECT current_database(), current_schema()")[0]
        return row[0], row[1]

    def attached(self) -> list[str]:
        """Names of the attached databases."""
        rows = self.database.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal")
        return [r[0] for r in rows]

    def catalog(self, name: str) -> Catalog:
        """The models of an attached database."""
        if name not in self.catalogs:
            self.catalogs[name] = Catalog(self.database, name)
        return self.catalogs[name]

    def model(self, name: Name, *, must_exist: bool = False) -> tuple[Catalog, str, str]:
        """(catalog, dataset, model) of a model's name; a project that is not attached is left out.

        Raises `NameError` when the name has too many parts, or the dataset does not exist.
        """
        if len(name.parts) > 3:
            raise NameError("the name of a model must have at most three parts.", span=name.span)
        here, schema = self.current()
        catalog = here
        if len(name.parts) == 3:
            catalog = next((a for a in self.attached() if same_name(a, name.parts[0])), here)
        dataset = name.parts[-2] if len(name.parts) > 1 else schema
        if must_exist:
            self.require_dataset(catalog, dataset, name.span)
        return self.catalog(catalog), dataset, name.parts[-1]

    def require_dataset(self, catalog: str, dataset: str, span: Span | None) -> None:
        """Raise `NameError` when a dataset does not exist."""
        known = [s for c, s in self.database.schemas() if same_name(c, catalog)]
        if not any(same_name(s, dataset) for s in known):
            hint = did_you_mean(dataset, [k for k in known if k != "sqlml"]) or f"CREATE SCHEMA {dataset}"
            raise NameError(f"the dataset {dataset} does not exist.", span=span, hint=hint)

    def context(self, catalog: Catalog, parameters: Any = None) -> Context:
        """What functions may use."""
        values: Mapping[str, Any] = {**dataclasses.asdict(self.settings), "fidelity": self.fidelity}
        return Context(self.database, catalog, values, parameters)
