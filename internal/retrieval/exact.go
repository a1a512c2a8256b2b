package retrieval

import "math"

// The functions below are those of package math, but computed in the same steps on every machine. That one uses what each
// processor has, and the last bits differ; so would a sum of products that a compiler fuses into one operation, which an
// explicit conversion of the product forbids.

// ln is the natural logarithm of a positive number: with x = 2^e·m and s = (m-1)/(m+1) it is e·ln 2 + 2·(s + s³/3 + s⁵/5 …).
func ln(x float64) float64 {
	m, e := math.Frexp(x) // m is in [1/2, 1)
	if m < math.Sqrt2/2 {
		m, e = 2*m, e-1
	}
	s := (m - 1) / (m + 1) // at most 0.172
	square := s * s
	sum := 0.0
	for k := 25; k >= 1; k -= 2 {
		sum = float64(sum*square) + 1/float64(k)
	}
	return float64(float64(e)*math.Ln2) + float64(2*s*sum)
}

// halved is 2^-x for an x of at least 0: what is before the point by the exponent, the next bits by a table, and the rest
// by the series of the exponential function.
func halved(x float64) float64 {
	whole, part := math.Modf(x)
	step := int(part * float64(len(roots)))
	rest := float64(part-float64(step)/float64(len(roots))) * math.Ln2
	return math.Ldexp(roots[step]*series(rest), -int(min(whole, 2000))) // beyond, nothing is left of it
}

// roots are 2^-(i/64).
var roots = func() (table [64]float64) {
	table[0] = 1
	for i := 1; i < len(table); i++ {
		half := series(float64(i) / float64(2*len(table)) * math.Ln2) // of half the exponent the series is exact sooner
		table[i] = half * half
	}
	return table
}()

// series is e^-x for a small x.
func series(x float64) float64 {
	sum := 1.0
	terms := 6.0
	if x > 1.0/64 {
		terms = 16
	}
	for k := terms; k >= 1; k-- {
		sum = 1 - float64(x*sum)/k
	}
	return sum
}
