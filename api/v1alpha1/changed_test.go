package v1alpha1_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

const remember = "{spec: {ask: null, saveMemory: {kind: preference, content: window seats}}}"
const forget = "{spec: {ask: null, forgetMemory: {id: mem-1}}}"
const rememberMore = "{spec: {ask: null, saveMemory: {kind: preference, content: aisle seats, importance: 8, saidBy: Ada, supersedes: mem-1, ttl: 90m}}}"
const askAsAda = "{spec: {ask: {saidBy: Ada}}}"
const indexInline = "{spec: {ask: null, indexDocuments: {collection: visa-rules, source: {inline: [{name: notes, text: none}]}}}}"
const indexSelected = "{spec: {ask: null, indexDocuments: {collection: visa-rules, source: {configMapSelector: {matchLabels: {topic: visa}, matchExpressions: [{key: stage, operator: NotIn, values: [draft]}]}}}}}"
const removeNotes = "{spec: {ask: null, removeDocuments: {collection: visa-rules, documents: [notes]}}}"
const summarizeAda = "{spec: {ask: null, summarize: {conversation: ada}}}"
const book = "{spec: {ask: null, callAPI: {operation: book, arguments: {flight: ED123, seat: {side: window}, with: [ada, {age: 7}]}}}}"

func TestACommandsIntentIsImmutable(t *testing.T) {
	const anotherName = "is immutable; apply a command with another name instead"
	for _, c := range []struct {
		name           string
		before, change string
		field          string
	}{
		{"agent", "", "{spec: {agentRef: {name: other}}}", "spec.agentRef"},
		{"message", "", "{spec: {ask: {message: Find me trains}}}", "spec.ask"},
		{"conversation", "", "{spec: {ask: {conversation: bob}}}", "spec.ask"},
		{"type", "", remember, "spec.saveMemory"},
		{"memory", remember, "{spec: {saveMemory: {content: aisle seats}}}", "spec.saveMemory"},
		{"memory's kind", remember, "{spec: {saveMemory: {kind: fact}}}", "spec.saveMemory"},
		{"who asks", askAsAda, "{spec: {ask: {saidBy: Bob}}}", "spec.ask"},
		{"that somebody asks", "", askAsAda, "spec.ask"},
		{"memory's importance", rememberMore, "{spec: {saveMemory: {importance: 7}}}", "spec.saveMemory"},
		{"that a memory matters", remember, "{spec: {saveMemory: {importance: 7}}}", "spec.saveMemory"},
		{"who said it", rememberMore, "{spec: {saveMemory: {saidBy: Bob}}}", "spec.saveMemory"},
		{"that somebody said it", rememberMore, "{spec: {saveMemory: {saidBy: null}}}", "spec.saveMemory"},
		{"what is superseded", rememberMore, "{spec: {saveMemory: {supersedes: mem-2}}}", "spec.saveMemory"},
		{"that something is superseded", remember, "{spec: {saveMemory: {supersedes: mem-2}}}", "spec.saveMemory"},
		{"how long a memory holds", rememberMore, "{spec: {saveMemory: {ttl: 91m}}}", "spec.saveMemory"},
		{"that a memory ends", rememberMore, "{spec: {saveMemory: {ttl: null}}}", "spec.saveMemory"},
		{"a document's text", indexInline, "{spec: {indexDocuments: {source: {inline: [{name: notes, text: some}]}}}}", "spec.indexDocuments"},
		{"the source", indexInline, "{spec: {indexDocuments: {source: {inline: null, configMap: {name: rules}}}}}", "spec.indexDocuments"},
		{"the collection", indexInline, "{spec: {indexDocuments: {collection: other}}}", "spec.indexDocuments"},
		{"how it is split", indexInline, "{spec: {indexDocuments: {chunking: {maxTokens: 200}}}}", "spec.indexDocuments"},
		{"a label's value", indexSelected, "{spec: {indexDocuments: {source: {configMapSelector: {matchLabels: {topic: food}}}}}}", "spec.indexDocuments"},
		{"a label's key", indexSelected, "{spec: {indexDocuments: {source: {configMapSelector: {matchLabels: {topic: null, theme: visa}}}}}}", "spec.indexDocuments"},
		{"a label's requirement", indexSelected, "{spec: {indexDocuments: {source: {configMapSelector: {matchExpressions: [{key: stage, operator: Exists}]}}}}}", "spec.indexDocuments"},
		{"what is removed", removeNotes, "{spec: {removeDocuments: {documents: [notes, more]}}}", "spec.removeDocuments"},
		{"where it is removed", removeNotes, "{spec: {removeDocuments: {collection: other}}}", "spec.removeDocuments"},
		{"what is summarised", summarizeAda, "{spec: {summarize: {conversation: bob}}}", "spec.summarize"},
		{"how far it is summarised", summarizeAda, "{spec: {summarize: {upTo: 7}}}", "spec.summarize"},
		{"what is forgotten", forget, "{spec: {forgetMemory: {id: mem-2}}}", "spec.forgetMemory"},
		{"operation", book, "{spec: {callAPI: {operation: cancel}}}", "spec.callAPI"},
		{"an argument", book, "{spec: {callAPI: {arguments: {flight: ED124}}}}", "spec.callAPI"},
		{"an argument deep inside", book, "{spec: {callAPI: {arguments: {with: [ada, {age: 8}]}}}}", "spec.callAPI"},
		{"one argument more", book, "{spec: {callAPI: {arguments: {meal: vegetarian}}}}", "spec.callAPI"},
		{"one argument less", book, "{spec: {callAPI: {arguments: {flight: null}}}}", "spec.callAPI"},
		{"all arguments", book, "{spec: {callAPI: {arguments: null}}}", "spec.callAPI"},
		{"timeout", "", "{spec: {timeout: 6m}}", "spec.timeout"},
		{"attempts", "", "{spec: {retry: {maxAttempts: 5}}}", "spec.retry"},
		{"backoff", "", "{spec: {retry: {backoff: 2s}}}", "spec.retry"},
		{"a key where there was none", "", "{spec: {idempotencyKey: k}}", "spec.idempotencyKey"},
		{"another key", "{spec: {idempotencyKey: k}}", "{spec: {idempotencyKey: l}}", "spec.idempotencyKey"},
		{"no key where there was one", "{spec: {idempotencyKey: k}}", "{spec: {idempotencyKey: null}}", "spec.idempotencyKey"},
		{"what is settled", resolveBy(whoami(t)), "{spec: {resolve: {command: book-43}}}", "spec.resolve"},
		{"how it is settled", resolveBy(whoami(t)), "{spec: {resolve: {outcome: RunAgain}}}", "spec.resolve"},
		{"who settles it", resolveBy(whoami(t)), "{spec: {resolve: {by: ada}}}", "spec.resolve"},
	} {
		t.Run(c.name, func(t *testing.T) {
			command := create(t, object(t, "Command", c.before))
			says(t, mergeInto(t, admin, command, c.change), c.field+" "+anotherName)
		})
	}
}

func TestWhatOfACommandMayChange(t *testing.T) {
	command := create(t, object(t, "Command", book))
	for _, c := range []struct{ name, change string }{
		{"a time to live where there was none", "{spec: {ttlSecondsAfterFinished: 60}}"},
		{"another time to live", "{spec: {ttlSecondsAfterFinished: 0}}"},
		{"no time to live where there was one", "{spec: {ttlSecondsAfterFinished: null}}"},
		{"the same durations, spelled otherwise", "{spec: {timeout: 300s, retry: {backoff: 1000ms}}}"},
		{"a field back to its default", "{spec: {timeout: null, retry: null}}"},
		{"a label", "{metadata: {labels: {a: b}}}"},
		{"cancel", "{spec: {cancel: true}}"},
	} {
		if err := mergeInto(t, admin, command, c.change); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, change := range []string{"{spec: {cancel: false}}", "{spec: {cancel: null}}"} {
		says(t, mergeInto(t, admin, command, change), "spec.cancel cannot be taken back; apply a command with another name instead")
	}
}

func TestHowLongAMemoryHoldsMayBeSpelledOtherwise(t *testing.T) {
	command := create(t, object(t, "Command", rememberMore))
	if err := mergeInto(t, admin, command, "{spec: {saveMemory: {ttl: 1h30m0s}}}"); err != nil {
		t.Error(err)
	}
}

// A Go client writes 5m as 5m0s. A command that it read it must be able to write again, or it could not cancel one.
func TestAGoClientCanCancel(t *testing.T) {
	create(t, object(t, "Command", book))
	var command edictv1.Command
	key := client.ObjectKey{Namespace: "default", Name: "find-flights"}
	if err := admin.Get(t.Context(), key, &command); err != nil {
		t.Fatal(err)
	}
	command.Spec.Cancel = true
	if err := admin.Update(t.Context(), &command); err != nil {
		t.Error(err)
	}
	command.Spec.Timeout = &metav1.Duration{Duration: time.Hour}
	says(t, admin.Update(t.Context(), &command), "spec.timeout is immutable")
}
