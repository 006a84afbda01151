package reach

// CompareAtMost is Compare with another bound of pairs.
var CompareAtMost = compare
