// Command bench measures the bridge beside rivals and limits.
package main

import (
	"fmt"
	"os"

	"github.com/grpc-sse/grpc-sse/bench/internal/rivals"
)

func main() {
	for _, maker := range rivals.Makers() {
		fmt.Fprintln(os.Stdout, maker.Name)
	}
}
