"""What the sections of `params.yaml` have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]  # safe as a folder, a stage and a wildcard
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A mapping with fixed keys: an unknown key is an error, and values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
