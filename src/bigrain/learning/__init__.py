"""Learning both grains on a collection own questions and documents."""
