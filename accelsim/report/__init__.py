"""How results look: pictures, tables, pages. Nothing below knows this room; `accelsim.core.views` asks it by type."""

VIEWS = {
    "plot": {
        "ArrayReport": ("crossbar", "study_figure"),
        "Comparison": ("plots", "comparison_figure"),
        "Explanation": ("explain", "explanation_figure"),
        "Floorplan": ("floorplan", "floorplan_figure"),
        "InferenceResult": ("inference", "inference_figure"),
        "Result": ("plots", "result_figure"),
        "Timeline": ("timeline", "timeline_figure"),
    },
    "html": {"Explanation": ("explain", "explanation_html")},
    "files": {"ResultTable": ("sweeps", "draw_all")},
}
"""Way of looking -> name of a type -> the module of this room, and its function of the result (and a path)."""
