"""What data_args says of images, whatever the source. Imports nothing heavy."""

from typing import Annotated, Any, Literal

from pydantic import Field

from kerasdl.data.images import Fit, Interpolation, Range, checked_range, height_width
from kerasdl.errors import DataError
from kerasdl.settings import Settings


class ImageArgs(Settings):
    """How image files become examples of one size."""

    image_size: Annotated[Any, "int or list"] | None = Field(
        None, description="(height, width) that images are resized to; None: all have the same size")
    crop: float | None = Field(
        None, gt=0, le=1, strict=False, description="what share of an image's shorter side its centre keeps, such as "
                                                    "0.875; None: the whole image, whatever its proportions")
    interpolation: Interpolation = Field("bilinear", description="how pixels are resized")
    channels: Literal[1, 3] | None = Field(
        None, description="1: colours become grey; 3: grey is repeated; None: 1 if all files are grey, else 3")
    value_range: Annotated[list | tuple, "list"] | None = Field(
        None, description="(low, high), the values that become 0 and 255, of images of more than 8 bits; those "
                          "of 8 bits stay as they are")

    @property
    def size(self) -> tuple[int, int] | None:
        """The size of an example, (height, width); None: that of the files."""
        return None if self.image_size is None else height_width(self.image_size)

    @property
    def fit(self) -> Fit | None:
        """How images of other sizes are fitted; None: they are refused."""
        return None if self.image_size is None else Fit(self.crop, self.interpolation)

    @property
    def ends(self) -> Range | None:
        """The values that become 0 and 255; None: those."""
        return checked_range(self.value_range)

    def check(self) -> None:
        """Raise a DataError for values that do not go together."""
        if self.size is None and (self.crop is not None or self.interpolation != "bilinear"):
            what = "crop" if self.crop is not None else "interpolation"
            raise DataError(f"{what} says how images are resized. Give data_args.image_size=(H, W), too.")
        checked_range(self.value_range)

    def reading(self) -> dict[str, Any]:
        """Return what a run has to know to read other images alike, for Split.reading."""
        fit, ends = self.fit, self.ends
        return {**({"fit": {"crop": fit.crop, "interpolation": fit.interpolation}} if fit else {}),
                **({"value_range": ends} if ends else {})}
