import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from netwright.svg.amounts import FLOOR, scaled, unscaled

amounts = st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(1, 1e8), st.floats(1, 1e6))


@given(st.lists(amounts, min_size=1, max_size=5))
def test_scaled_amounts_come_back(rows):
    values = np.array(rows)
    assert np.allclose(unscaled(scaled(values).astype(np.float64)), values, rtol=1e-4, atol=1e-6)


def test_more_alike_than_one_and_no_bytes_stay_finite():
    assert np.isfinite(scaled(np.array([[1.0000001, 1.0, 0.0, 0.0]]))).all()
    assert scaled(np.array([[1.0, 1.0, 1.0, 1.0]]))[0, 0] == np.float32(np.log10(FLOOR))
