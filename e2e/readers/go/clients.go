package main

import (
	"errors"
	"net/http"
	"time"

	launchdarkly "github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

// r3labs/sse comes back by itself after an error, and not after an end; and it knows no final answer. Of a block that was cut it gives what is
// there to its user, who so must look whether it is whole, and which one it is.
func readWithR3labs(request *http.Request) {
	client := r3labs.NewClient(request.URL.String())
	for name := range request.Header {
		client.Headers[name] = request.Header.Get(name)
	}
	client.ResponseValidator = func(_ *r3labs.Client, response *http.Response) error {
		endAt(response.StatusCode)
		if response.StatusCode != http.StatusOK {
			return errors.New(response.Status)
		}
		return nil
	}
	last := 0
	for {
		_ = client.SubscribeRaw(func(event *r3labs.Event) {
			seq, whole := seqOf(event.Data)
			if !whole || (seq != 0 && seq <= last) {
				return
			}
			last = max(last, seq)
			print(message{string(event.ID), string(event.Event), string(event.Data)})
		})
		time.Sleep(comeBackAfter)
	}
}

func readWithGoSSE(request *http.Request) {
	client := gosse.Client{ResponseValidator: func(response *http.Response) error {
		endAt(response.StatusCode)
		return gosse.DefaultValidator(response)
	}}
	connection := client.NewConnection(request)
	connection.SubscribeToAll(func(event gosse.Event) { print(message{event.LastEventID, event.Type, event.Data}) })
	fail(connection.Connect())
}

func readWithLaunchDarkly(request *http.Request) {
	stream, err := launchdarkly.SubscribeWithRequestAndOptions(request,
		launchdarkly.StreamOptionInitialRetry(time.Second),
		launchdarkly.StreamOptionErrorHandler(func(err error) launchdarkly.StreamErrorHandlerResult {
			var refused launchdarkly.SubscriptionError
			if errors.As(err, &refused) {
				endAt(refused.Code)
			}
			return launchdarkly.StreamErrorHandlerResult{}
		}),
	)
	if err != nil {
		fail(err)
	}
	for event := range stream.Events {
		print(message{event.Id(), event.Event(), event.Data()})
	}
	fail(errors.New("launchdarkly/eventsource has given up"))
}
