"""Names on disk and in the graph that exporter and loader agree on."""

from typing import Final

# The name of the folder of a version, for the % operator.
VERSION_FORMAT_SPECIFIER: Final = "%08d"
# The end of the name of a folder that an exporter is still writing. It makes
# the name no number, so that nobody takes the folder for a version.
UNFINISHED_SUFFIX: Final = "-tmp"

# Files and folders of an export.
ASSETS_DIRECTORY: Final = "assets"
EXPORT_BASE_NAME: Final = "export"
META_GRAPH_DEF_FILENAME: Final = "export.meta"
VARIABLES_FILENAME: Final = "export"
VARIABLES_FILENAME_PATTERN: Final = "export-?????-of-?????"
VARIABLES_INDEX_FILENAME: Final = "export.index"

# Collections of the MetaGraphDef.
INIT_OP_KEY: Final = "serving_init_op"
SIGNATURES_KEY: Final = "serving_signatures"
ASSETS_KEY: Final = "serving_assets"
GRAPH_KEY: Final = "serving_graph"
