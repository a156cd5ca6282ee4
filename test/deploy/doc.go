// Package deploy holds what stands in files against the programs and against other files: the image, Compose,
// Kubernetes and systemd, the documentation and its links, the Makefile, and which package may know which.
package deploy
