// Reads a task's events to their end with one public client, as its users write it. Prints a line of JSON for each message that the client gave
// to its user, and last how the server ended it: {"end":204}, nothing more to read, or {"end":401}, not allowed any more.
//
//	readers CLIENT URL [KEY]
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// A message as the client's user gets it. Clients of NDJSON know only data.
type message struct {
	ID   string `json:"id,omitempty"`
	Type string `json:"type,omitempty"`
	Data string `json:"data"`
}

var clients = map[string]func(request *http.Request){
	"r3labs/sse":               readWithR3labs,
	"tmaxmax/go-sse":           readWithGoSSE,
	"launchdarkly/eventsource": readWithLaunchDarkly,
	"bufio.Scanner of SSE":     scanEventStream,
	"bufio.Scanner of NDJSON":  scanLines,
}

// How long users wait before they come back, where their client does not do it.
const comeBackAfter = 200 * time.Millisecond

var printing sync.Mutex

func print(line any) {
	printing.Lock()
	defer printing.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(1)
	}
}

// Ends the program at an answer after which no client comes back.
func endAt(status int) {
	if status == http.StatusNoContent || status == http.StatusUnauthorized {
		print(map[string]int{"end": status})
		os.Exit(0)
	}
}

// The seq of an event; 0 for what has none, false for what is no JSON.
func seqOf(data []byte) (seq int, whole bool) {
	var event struct{ Seq int }
	return event.Seq, json.Unmarshal(data, &event) == nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: readers CLIENT URL [KEY]"))
	}
	read, known := clients[os.Args[1]]
	if !known {
		fail(fmt.Errorf("no client is called %s", os.Args[1]))
	}
	request, err := http.NewRequest(http.MethodGet, os.Args[2], nil)
	if err != nil {
		fail(err)
	}
	if len(os.Args) > 3 {
		request.Header.Set("Authorization", "Bearer "+os.Args[3])
	}
	read(request)
}
