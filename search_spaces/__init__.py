"""What a search may build for each signature. Imported as `lossearch.search_spaces`."""

if __name__ == "search_spaces":
    raise ImportError("'search_spaces' is part of lossearch; import it as 'lossearch.search_spaces'")

from lossearch.search_spaces.names import load_space, space_names
from lossearch.search_spaces.space import Constants, SearchSpace

__all__ = ["Constants", "SearchSpace", "load_space", "space_names"]
