"""Raster images to SVG: what a tracer's settings will do to an image is predicted, then verified by tracing."""
