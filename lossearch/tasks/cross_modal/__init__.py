"""Two modalities in one space: pictures and their names."""
