"""A space as the unit cube: a coordinate for each dimension that varies, and the features a model sees of a point."""

from typing import Any

import numpy as np

from kerasdl.tuning.dimensions import ascending, index_of, same
from kerasdl.tuning.records import Space


class UnitCube:
    """Maps values to points (D,) of the cube and back, and points to features.

    A number is one feature, a category one feature for each of its values; an inactive dimension is constant.

    Attributes:
        varying: (field, dimension) of each coordinate.
    """

    def __init__(self, space: Space):
        self.space = space
        self.coordinate: dict[int, int] = {}  # index in the space -> index in the cube
        for index, (_, dimension) in enumerate(space):
            if len(dimension.options() or "ab") > 1:
                self.coordinate[index] = len(self.coordinate)
        self.varying = [space[index] for index in self.coordinate]
        self.options: list[Any] = [ascending(dimension.options() or ()) if self._ordered(dimension)
                                   else dimension.options() for _, dimension in self.varying]

    def values(self, point: np.ndarray) -> dict[str, Any]:
        """Return the active values at a point (D,)."""
        values: dict[str, Any] = {}
        for index, (field, dimension) in enumerate(self.space):
            if dimension.active(values):
                at = self.coordinate.get(index)
                values[field] = dimension.from_unit(0.0) if at is None else self._value(at, float(point[at]))
        return values

    def point(self, values: dict[str, Any]) -> np.ndarray:
        """Return the point (D,) of a trial's values; an inactive coordinate is 0.5."""
        return np.array([self._coordinate(at, values[field]) if self.is_active(at, values) else 0.5
                         for at, (field, _) in enumerate(self.varying)])

    def is_active(self, at: int, values: dict[str, Any]) -> bool:
        """Return whether a coordinate counts for a trial's values."""
        field, dimension = self.varying[at]
        return field in values and dimension.active(values)

    def features(self, points: np.ndarray) -> np.ndarray:
        """Return the features (N, F) of points (N, D)."""
        active, columns = self._active(points), []
        for at, (_, dimension) in enumerate(self.varying):
            options, column = self.options[at], points[:, at]
            if options is not None and not self._ordered(dimension):
                one_hot = np.eye(len(options))[self._index(at, column)]
                columns.append(one_hot * active[:, at, None] / np.sqrt(2))  # two categories are 1 apart
                continue
            if options is not None and dimension.even:
                column = (self._index(at, column) + 0.5) / len(options)
            elif options is not None:
                column = np.array([self._coordinate(at, self._value(at, float(u))) for u in column])
            columns.append(np.where(active[:, at], column, 0.5)[:, None])
        return np.concatenate(columns, axis=1)

    def _active(self, points: np.ndarray) -> np.ndarray:
        """Return which coordinates count, (N, D)."""
        active: dict[str, np.ndarray] = {}
        column: dict[str, int] = {}
        found = np.ones(points.shape, bool)
        for index, (field, dimension) in enumerate(self.space):
            mask = np.ones(len(points), bool)
            for parent, allowed in dimension.conditions:
                if (at := column.get(parent)) is not None:
                    met = np.array([any(same(option, value) for value in allowed) for option in self.options[at]])
                    mask &= met[self._index(at, points[:, at])]
                mask &= active[parent]
            active[field] = mask
            if (at := self.coordinate.get(index)) is not None:
                column[field], found[:, at] = at, mask
        return found

    @staticmethod
    def _ordered(dimension) -> bool:
        return dimension.options() is not None and dimension.ordered

    def _index(self, at: int, column: np.ndarray) -> np.ndarray:
        options, (_, dimension) = self.options[at], self.varying[at]
        if not dimension.even:
            return np.array([index_of(dimension.from_unit(float(u)), options) for u in column])
        count = len(options)
        return np.minimum((column * count).astype(int), count - 1)

    def _value(self, at: int, u: float) -> Any:
        options, (_, dimension) = self.options[at], self.varying[at]
        if options is None or not dimension.even:
            return dimension.from_unit(u)
        return options[min(int(u * len(options)), len(options) - 1)]

    def _coordinate(self, at: int, value: Any) -> float:
        options, (_, dimension) = self.options[at], self.varying[at]
        if options is None or not dimension.even:
            return dimension.to_unit(value)
        return (index_of(value, options) + 0.5) / len(options)
