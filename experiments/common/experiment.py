"""Base class of all experiments: which cells a table has, how they are cached and resumed, and where results go."""

import dataclasses
import json
import pathlib
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import tyro

import jaxgen
from experiments.common import cache, expectations, report
from experiments.common.source import source_digest

Results: TypeAlias = dict[str, list[dict[str, Any]]]  # measurements of each row, by seed


@dataclasses.dataclass(frozen=True)
class Cell:
    """One measurement of a table, read from the cache where nothing that it depends on has changed."""

    row: str  # the table's row, or whatever groups the seeds of one measurement
    seed: int  # of data and training
    # Takes a directory and returns the measurement in JSON's own types. Runs may keep checkpoints in the directory,
    # which depends on `config` alone: a changed metric does not train again.
    measure: Callable[[pathlib.Path], dict[str, Any]]
    config: jaxgen.Config | None = None  # what is trained; None where nothing is
    # What else the measurement depends on, apart from the config and the code, in JSON's own types.
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    version: int = 0  # increase it to compute the cell again although nothing else changed

    @property
    def name(self) -> str:
        """Name of the cell's files."""
        return f"{self.row}-{self.seed}".replace("/", "_").replace(" ", "_").replace(".", "_")

    def training(self) -> Any:
        """Config in JSON's own types, or None."""
        return None if self.config is None else jaxgen.to_json(self.config)

    def identity(self) -> dict[str, Any]:
        """Everything that the measurement depends on, in JSON's own types."""
        return {
            "row": self.row,
            "seed": self.seed,
            "config": self.training(),
            "settings": json.loads(json.dumps(self.settings, default=str)),
            "version": self.version,
            "source": source_digest(self.measure),
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Seeds, size and directories of an experiment."""

    num_seeds: int = 1  # seeds, of data and training alike
    first_seed: int = 0  # the first of them
    quick: bool = False  # a run of about a minute, which checks that everything works; its numbers mean little
    configs: bool = False  # print the config of every cell as JSON, and train nothing
    # Compile each row for devices such as v5e:8 or h100:4, print memory and bounds on the time, and train nothing.
    preflight: str | None = None
    # Directory of cells and checkpoints, from which an interrupted run resumes; by default runs/SYSTEM/NAME.
    cache_dir: pathlib.Path | None = None
    output_dir: pathlib.Path | None = None  # directory of tables and figures; the cache's by default

    name: ClassVar[str]  # SYSTEM/NAME, the module's path below `experiments`
    choices: ClassVar[Mapping[str, Collection[Any]]] = {}  # allowed entries of fields that are tuples or names
    # Fields of a quick run, added to those of the base class: the largest number, a slice of a tuple, or another value.
    small: ClassVar[Mapping[str, Any]] = {"num_seeds": 1}

    def __post_init__(self) -> None:
        """Check the fields of `choices` and the seeds."""
        for field, allowed in self.choices.items():
            value = getattr(self, field)
            entries = value if isinstance(value, tuple) else (value,)
            if unknown := [entry for entry in entries if entry not in allowed]:
                expected = ", ".join(map(str, allowed))
                raise SystemExit(f"{field} must be among {expected} (got {', '.join(map(str, unknown))}).")
        if self.num_seeds < 1:
            raise SystemExit(f"num_seeds must be 1 or more (got {self.num_seeds}).")

    @property
    def seeds(self) -> range:
        """Seeds of the experiment."""
        return range(self.first_seed, self.first_seed + self.num_seeds)

    @property
    def directory(self) -> pathlib.Path:
        """Directory of cells and checkpoints."""
        base = pathlib.Path("runs", self.name) if self.cache_dir is None else self.cache_dir
        return base / "quick" if self.quick else base

    @property
    def results_directory(self) -> pathlib.Path:
        """Directory of tables and figures."""
        return self.directory if self.output_dir is None or self.quick else self.output_dir

    def reduced(self) -> Self:
        """The experiment at the size of `quick`."""
        changes: dict[str, Any] = {}
        for base in reversed(type(self).__mro__):
            changes |= vars(base).get("small", {})
        for field, value in changes.items():
            own = getattr(self, field)
            if isinstance(value, slice):
                changes[field] = own[value]
            elif isinstance(value, int | float) and own is not None:
                changes[field] = min(own, value)
        return dataclasses.replace(self, **changes)

    def cells(self) -> Iterable[Cell]:
        """Cells of the tables, in the order in which they are computed; tables may share cells."""
        raise NotImplementedError

    def followup_cells(self, results: Results) -> Iterable[Cell]:
        """Cells that depend on the results of `cells`, such as further seeds of the best rows; none by default."""
        return ()

    def tables(self, results: Results) -> Sequence[report.Table]:
        """Tables of the measurements."""
        raise NotImplementedError

    def figures(self, results: Results) -> None:
        """Draw the figures into `results_directory`; none by default."""

    def printed(self, table: report.Table) -> report.Table:
        """A table as it is printed, such as with the rows of a committed one; by default as it is written."""
        return table

    def expected(self, table: report.Table) -> Mapping[str, expectations.Expectation]:
        """What committed runs of the same size measured, by row title.

        By default, for a quick run, all rows of three seeds or more of `experiments/results/SYSTEM/TABLE/quick.json`,
        if that file exists.
        """
        file = expectations.RESULTS / pathlib.PurePath(self.name).parent / table.name / "quick.json"
        return expectations.read_rows(file, table.columns) if self.quick and file.is_file() else {}

    def training_directory(self, config: jaxgen.Config) -> pathlib.Path:
        """Directory of a training's checkpoints, shared by all cells that train the same, however they measure it."""
        return self.directory / "training" / cache.digest(jaxgen.to_json(config))

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Return a cell's measurement from the cache, or compute and cache it."""
        training = cell.training()
        place = self.directory if cell.config is None else self.training_directory(cell.config)
        digest = cache.digest({"row": cell.row, "config": training, **cell.settings})
        file = self.directory / f"{cell.name}-{digest}.json"
        return cache.cached(file, cell.identity(), lambda: cell.measure(place))

    def run(self) -> list[report.Table]:
        """Compute all cells, print and write the tables, and draw the figures."""
        experiment = self.reduced() if self.quick else self
        if experiment.configs:
            configs = {cell.name: cell.training() for cell in experiment.cells() if cell.config is not None}
            json.dump(configs, sys.stdout, indent=1)
            print()
            return []
        if experiment.preflight is not None:
            experiment.print_preflight(experiment.preflight)
            return []
        results: Results = {}
        for stage in (experiment.cells, lambda: experiment.followup_cells(results)):
            for cell in stage():
                print(f"{cell.row}, seed {cell.seed}", flush=True)
                results.setdefault(cell.row, []).append(experiment.measure(cell))
        tables = list(experiment.tables(results))
        for table in tables:
            table.write(experiment.results_directory, printed=experiment.printed(table))
        experiment.figures(results)
        for table in tables:
            for line in expectations.verdicts(table, experiment.expected(table)):
                print(line)
        return tables

    def print_preflight(self, target: str) -> None:
        """Print what each row's first training needs on a target; the other seeds need the same."""
        first: dict[str, jaxgen.Config] = {}
        for cell in self.cells():
            if cell.config is not None:
                first.setdefault(cell.row, cell.config)
        for row, config in first.items():
            print(f"== {row}\n{jaxgen.preflight(config, target)}\n", flush=True)


def main(experiment: type[Experiment]) -> None:
    """Run an experiment with the command line's settings."""
    tyro.cli(experiment, description=sys.modules[experiment.__module__].__doc__).run()
