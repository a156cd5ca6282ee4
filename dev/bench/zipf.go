package main

import "math/rand/v2"

// zipf returns n keys from 1 to keys, drawn so that few are asked for often and most seldom: the k-th most popular about
// k^1.1 times less often than the first. The same numbers come each time. Which key is popular has nothing to do with its number.
func zipf(keys, n int) []int32 {
	random := rand.New(rand.NewPCG(1, uint64(keys)))
	z := rand.NewZipf(random, 1.1, 1, uint64(keys-1))
	names := random.Perm(keys)
	drawn := make([]int32, n)
	for i := range drawn {
		drawn[i] = int32(names[z.Uint64()] + 1)
	}
	return drawn
}
