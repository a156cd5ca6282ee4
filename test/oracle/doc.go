// Package oracle holds what clients are shown, under load and through faults, against what was committed when
// (package rig has the trial), and what strict readers see against a checker of linearizability. Ten seconds each in short tests.
package oracle
