package main

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Opens the stream again and again, each time after the last id. A Scanner has a limit of its own, 64 KiB a line: what is longer would stop it for
// good. `read` answers the id that it has come to.
func scan(request *http.Request, accept string, read func(lines *bufio.Scanner, last string) string) {
	request.Header.Set("Accept", accept)
	last := ""
	for {
		if last != "" {
			request.Header.Set("Last-Event-ID", last)
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			endAt(response.StatusCode)
			lines := bufio.NewScanner(response.Body)
			last = read(lines, last)
			if lines.Err() == bufio.ErrTooLong {
				fail(lines.Err())
			}
			response.Body.Close()
		}
		time.Sleep(comeBackAfter)
	}
}

// An event counts when its empty line is there. What a Scanner gives as a last line at a cut is none.
func scanEventStream(request *http.Request) {
	scan(request, "text/event-stream", func(lines *bufio.Scanner, last string) string {
		var event message
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch {
			case lines.Text() == "":
				print(event)
				if event.ID != "" {
					last = event.ID
				}
				event = message{}
			case field == "id":
				event.ID = value
			case field == "event":
				event.Type = value
			case field == "data":
				event.Data = value
			}
		}
		return last
	})
}

// A last line that was cut is no JSON.
func scanLines(request *http.Request) {
	scan(request, "application/x-ndjson", func(lines *bufio.Scanner, last string) string {
		for lines.Scan() {
			seq, whole := seqOf(lines.Bytes())
			if !whole {
				break
			}
			print(message{Data: lines.Text()})
			if seq > 0 {
				last = strconv.Itoa(seq)
			}
			// Coming back after the end is answered by an empty list of lines.
			if strings.Contains(lines.Text(), `"type":"task.finished"`) {
				endAt(http.StatusNoContent)
			}
		}
		return last
	})
}
