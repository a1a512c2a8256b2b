package retrieval

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestLogarithmsAndPowersAreThoseOfMath(t *testing.T) {
	alike := func(a, b float64) bool { return math.Abs(a-b) <= 1e-15 }
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(1e-9, 1e12).Draw(t, "x")
		if got, want := ln(x), math.Log(x); !alike(got/max(1, math.Abs(want)), want/max(1, math.Abs(want))) {
			t.Fatalf("ln %v is %v, not %v", x, got, want)
		}
		y := rapid.Float64Range(0, 1100).Draw(t, "y")
		got, want := halved(y), math.Exp2(-y)
		if want > 1e-300 && !alike(got/want, 1) || want <= 1e-300 && got > 2e-300 {
			t.Fatalf("2^-%v is %v, not %v", y, got, want)
		}
	})
	for x, want := range map[float64]float64{1: 0, math.E: 1, 2: math.Ln2, 0.5: -math.Ln2} {
		if got := ln(x); !alike(got, want) {
			t.Errorf("ln %v is %v, not %v", x, got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, 1: 0.5, 10: 1.0 / 1024, 1e9: 0} {
		if got := halved(x); got != want {
			t.Errorf("2^-%v is %v, not %v", x, got, want)
		}
	}
}
