"""Small spaces that tests search."""

from core.models.catalogue import BY_ID
from core.models.shape import shape_from_config
from core.notation.chain import ChainDefaults
from core.search.space import Restrictions, enumerate_space
from core.specs import TextWindows

SHAPE = shape_from_config(BY_ID["smollm2-135m"].config)
TEXT = TextWindows(corpus="any", windows=8, window=64)
TRAINING = TextWindows(corpus="any", windows=512, window=64)
DEFAULTS = ChainDefaults(TEXT, TRAINING, 0)


def space(*methods, stored=(), **more):
    """Return the chains of some methods on the default model."""
    return enumerate_space(SHAPE, DEFAULTS, Restrictions(methods=methods, **more), stored=stored)


def chains(of):
    """Return the chains of the parts in the blocks."""
    return [part.chain for part in of.blocks]
