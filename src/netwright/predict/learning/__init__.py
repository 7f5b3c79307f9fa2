"""What measured rows teach: trees, bias terms, calibration, intervals; how a predictor is fitted, judged and kept."""
