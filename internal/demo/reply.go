package demo

import (
	"strings"
	"unicode"
)

// replies are what the model knows, by a word that the prompt must hold. The last one fits every prompt.
var replies = []struct{ word, text string }{
	{"reconnect", `A browser's EventSource reconnects by itself. It remembers the id of the last event that it got, and when ` +
		`the connection breaks it waits a moment and asks again, with that id in the Last-Event-ID header.

What happens next is up to the server. Most servers ignore the header, so whatever was sent in between is lost. The ` +
		`bridge in front of me keeps the call to me open for a while, and keeps what I have said. When the browser comes ` +
		`back, it gets everything after its id: nothing is missing, and nothing comes twice.

Press "Cut the connection" while I write this. I do not notice: I am a gRPC method, and my call goes on. You will see ` +
		`a new connection on the right, the id that your browser presented, and the rest of this sentence.`},
	{"grpc", `gRPC services stream messages over HTTP/2, and browsers cannot speak that protocol: they have no access to ` +
		`trailers, which is where a call says how it ended.

Server-sent events are what browsers do speak. A stream is a plain HTTP response of text lines: an id, a type, the ` +
		`data, an empty line. It passes through proxies, it shows up in the developer tools, and curl can read it.

So the bridge calls me by gRPC and writes each of my messages as one event. Its type is the name of the oneof case ` +
		`that I set (start, token, progress, complete or failed), and its data is the message as protobuf JSON.`},
	{"resume", `Resuming takes three things: an order, a memory, and honesty.

The order is in the ids. Every event's id begins with a number that only goes up, and the rest of it names the call ` +
		`that the event belongs to. The memory is a bounded log: ten minutes, ten thousand events or eight megabytes, ` +
		`whichever is reached first. And the honesty is the stream.reset event: when an id is too old to be resumed, the ` +
		`client is told so before it gets any other data. There is no silent gap.`},
	{"", `I am a very small language model: I know a handful of answers, and I give them slowly. That is all a demo needs, ` +
		`because what is worth watching is how the words arrive.

Each word is one message of a server-streaming gRPC method. The bridge turns it into one server-sent event, with an ` +
		`id of its own, and your browser receives it through a plain EventSource: no library, no polyfill, no WebSocket.

Now cut the connection, as a tunnel or a tired router would. The browser comes back with the id of the last event ` +
		`that it has, and the bridge goes on with the very next one. Count them: the gap check does so for you.

You can also stop me. Closing the page does not do it at once, since it could be an accident, but the stop button ` +
		`does: it tells the bridge to cancel the call, and I get the cancellation as any gRPC server would.`},
}

// reply returns the model's answer to a prompt.
func reply(prompt string) string {
	prompt = strings.ToLower(prompt)
	for _, r := range replies[:len(replies)-1] {
		if strings.Contains(prompt, r.word) {
			return r.text
		}
	}
	return replies[len(replies)-1].text
}

// tokens cuts a text into words, each with the white space before it: joined, they are the text again.
func tokens(text string) []string {
	var found []string
	begin, inWord := 0, false
	for i, r := range text {
		space := unicode.IsSpace(r)
		if space && inWord {
			found = append(found, text[begin:i])
			begin = i
		}
		inWord = !space
	}
	if begin < len(text) {
		found = append(found, text[begin:])
	}
	return found
}
