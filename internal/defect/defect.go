// Package defect holds the deliberate mistakes that the fault campaign has to
// catch: a campaign that passes a program with one of them proves nothing. Each
// is a constant that is false in every program but one built with its tag, so
// that the compiler leaves the mistake out.
package defect
