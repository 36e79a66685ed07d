"""How a run is carried out: make the variant stage by stage, measure it, store each number."""
