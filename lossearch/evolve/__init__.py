"""Search methods behind one ask/tell interface."""
