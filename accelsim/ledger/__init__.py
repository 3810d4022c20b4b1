"""What happened: counts of every layer and component, the priced result, the timeline; no pictures."""
