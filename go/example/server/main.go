// SPDX-License-Identifier: Apache-2.0 OR MIT

// A web server whose page has an offer for each visitor: the cookies go in and out, what was shown is reported in the
// background, and what waits is delivered when the server ends.
//
//	go run ./example/server -edge 127.0.0.1:8080    # against a local edge: target-local-edge --port 8080
//	TARGET_CLIENT=… TARGET_ORGANIZATION=… go run ./example/server
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"adobetarget"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8000", "where the server listens")
	edge := flag.String("edge", "", "the address of a local edge")
	flag.Parse()
	config := adobetarget.Config{
		Client:         os.Getenv("TARGET_CLIENT"),
		OrganizationID: os.Getenv("TARGET_ORGANIZATION"),
		Timeout:        500 * time.Millisecond,
	}
	if *edge != "" {
		config.Client, config.OrganizationID = "localedge", "0DD934B85278256B0A490D44@AdobeOrg"
		config.ServerDomain, config.Secure, config.Proxy = *edge, adobetarget.Bool(false), "none"
	}
	client, err := adobetarget.New(config)
	if err != nil {
		log.Fatal(err)
	}

	// Ends when the client is closed.
	told := make(chan struct{})
	go func() {
		defer close(told)
		for event := range client.Events() {
			log.Printf("%s %v %s", event.Type, event.IDs, event.Reason)
		}
	}()

	server := &http.Server{Addr: *listen, Handler: page{client}}
	stop, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	// ListenAndServe returns when Shutdown begins; handlers use the client until it has ended.
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		<-stop.Done()
		_ = server.Shutdown(context.Background())
	}()
	log.Printf("listening on http://%s", *listen)
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-drained
	counts, err := client.Close(context.Background())
	<-told
	log.Printf("closed: %+v %v", counts, err)
}

type page struct{ client *adobetarget.Client }

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// A visitor who goes away ends the call.
	content, err := p.offer(w, r)
	if err != nil {
		log.Print(err)
		content = "Welcome" // what the page shows without Target
	}
	fmt.Fprintf(w, "<!doctype html>%s\n", content)
}

func (p page) offer(w http.ResponseWriter, r *http.Request) (string, error) {
	options := adobetarget.Options{
		Request: adobetarget.DeliveryRequest{
			Prefetch: &adobetarget.PrefetchRequest{Mboxes: adobetarget.Mboxes("home")},
			Context:  map[string]any{"channel": "web", "userAgent": r.UserAgent()},
		},
		TargetCookie: value(r, "mbox"),
	}
	offers, err := p.client.GetOffers(r.Context(), options)
	if err != nil {
		return "", err
	}
	offers.SetCookies(w)
	response, err := offers.Decode()
	if err != nil {
		return "", err
	}
	mbox := response.Prefetch.Mbox("home")
	if mbox == nil || len(mbox.Options) == 0 {
		return "", errors.New("there is no offer for home")
	}

	// Delivered in the background, whatever becomes of the visitor's request.
	shown := mbox.Displayed(response.RequestID, time.Now())
	_, err = p.client.EnqueueNotifications(context.Background(), adobetarget.Options{
		Request:      adobetarget.DeliveryRequest{Notifications: []adobetarget.Notification{shown}},
		TargetCookie: offers.TargetCookie.Value,
	})
	return mbox.Options[0].Text(), err
}

func value(r *http.Request, name string) string {
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}
