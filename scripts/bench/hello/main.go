// Command hello is the least that a Go program can do, for comparison.
package main

import "fmt"

func main() { fmt.Println("hello") }
