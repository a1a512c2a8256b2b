package agent

import "time"

// TranscriptRequest asks for what a summary is to be written from.
type TranscriptRequest struct {
	Stream string
	Of     SummarizePayload // whose UpTo is not looked at
	UpTo   int64            // nothing that was said later
	Seen   int64            // which of it has ended, and which summaries there are, is told as of this sequence, no less than UpTo
}

// Transcript is what a summary is written from: the newest summary before it, and what came after that.
type Transcript struct {
	Previous string // the text of that summary; empty: there is none
	From, To int64  // the sequences that a summary of all this covers, both inclusive
	Items    []Said // what Previous does not cover, oldest first, as much as a model is given at once; empty: nothing is new
}

// Said is one turn of a conversation, or one passage of a document.
type Said struct {
	Time time.Time
	By   string // who said it, or where it is written
	Text string
}

// SummaryInquiry is everything a model is told when it is asked for a summary.
type SummaryInquiry struct {
	Profile    Profile
	Of         SummarizePayload
	Transcript Transcript
	APIKey     string // the value of Profile.Model.APIKey; never stored
	User       string // an opaque id of the command, sent as the request's user
}

// SummaryAnswer is a summary with what it took to get it.
type SummaryAnswer struct {
	Text    string
	Model   string // as the server named it
	Usage   Usage
	Request []byte // the request as sent, without credentials
}
