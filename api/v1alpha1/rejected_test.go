package v1alpha1_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rejection is a change of a valid manifest that makes it invalid, and what the API server has to say then: which field
// it is, and what to do about it.
type rejection struct {
	name  string
	patch string
	says  []string
}

func x(n int) string { return strings.Repeat("x", n) }

func op(fields string) string { return "{spec: {operations: [" + fields + "]}}" }

// call is an operation of type CallAPI with that URL.
func call(url string) string {
	return op(`{name: search, type: CallAPI, callAPI: {method: GET, url: "` + url + `"}}`)
}

// block is a view of one block with those fields.
func block(fields string) string { return "{spec: {blocks: [{name: a, " + fields + "}]}}" }

// headers is an operation with that list of headers.
func headers(list string) string {
	return op(`{name: search, type: CallAPI, callAPI: {method: GET, url: "http://api.example.com", headersFrom: ` + list + `}}`)
}

// settling is a resolve command with one of its fields changed.
func settling(change string) string {
	field, _, _ := strings.Cut(change, ":")
	all := map[string]string{"command": "command: book-42", "outcome": "outcome: Failed", "reason": "reason: nothing is on record", "by": "by: ada", field: change}
	return "{spec: {ask: null, resolve: {" + strings.Join(slices.Sorted(maps.Values(all)), ", ") + "}}}"
}

// remembering is a saveMemory command with one field more.
func remembering(field string) string {
	return "{spec: {ask: null, saveMemory: {kind: fact, content: it rains, " + field + "}}}"
}

// indexing is a command that indexes what the source has, with more fields of indexDocuments.
func indexing(source, more string) string {
	return "{spec: {ask: null, indexDocuments: {collection: visa-rules, source: {" + source + "}" + more + "}}}"
}

// removing and summarizing are commands with those fields.
func removing(fields string) string    { return "{spec: {ask: null, removeDocuments: {" + fields + "}}}" }
func summarizing(fields string) string { return "{spec: {ask: null, summarize: {" + fields + "}}}" }

const fromURL = "url: 'https://docs.example.com/visa.md'"

var rejected = map[string][]rejection{
	"Command": {
		{"without an intent", "{spec: {ask: null}}", []string{"spec: Invalid value", "exactly one of ask, saveMemory, forgetMemory, callAPI, resolve, indexDocuments, removeDocuments, summarize and observe"}},
		{"with two intents", "{spec: {forgetMemory: {id: m}}}", []string{"exactly one of ask, saveMemory, forgetMemory, callAPI, resolve, indexDocuments, removeDocuments, summarize and observe"}},
		{"without an agent", "{spec: {agentRef: null}}", []string{"spec.agentRef: Required value"}},
		{"of an agent without a name", "{spec: {agentRef: {name: ''}}}", []string{"spec.agentRef.name", "at least 1 chars long"}},
		{"of an agent with too long a name", "{spec: {agentRef: {name: " + x(64) + "}}}", []string{"spec.agentRef.name: Too long", "63"}},
		{"in a conversation without a name", "{spec: {ask: {conversation: ''}}}", []string{"spec.ask.conversation", "at least 1 chars long"}},
		{"in a conversation with too long a name", "{spec: {ask: {conversation: " + x(64) + "}}}", []string{"spec.ask.conversation: Too long", "63"}},
		{"that asks nothing", "{spec: {ask: {message: ''}}}", []string{"spec.ask.message", "at least 1 chars long"}},
		{"that asks too much", "{spec: {ask: {message: " + x(32769) + "}}}", []string{"spec.ask.message: Too long", "32768"}},
		{"that remembers too much", "{spec: {ask: null, saveMemory: {kind: fact, content: " + x(16385) + "}}}", []string{"spec.saveMemory.content: Too long", "16384"}},
		{"that remembers something of no kind", "{spec: {ask: null, saveMemory: {content: it rains}}}", []string{"spec.saveMemory.kind: Required value"}},
		{"that forgets something of no id", "{spec: {ask: null, forgetMemory: {id: ''}}}", []string{"spec.forgetMemory.id", "at least 1 chars long"}},
		{"that somebody without a name asks", "{spec: {ask: {saidBy: ''}}}", []string{"spec.ask.saidBy", "at least 1 chars long"}},
		{"that somebody of two lines asks", `{spec: {ask: {saidBy: "Ada\nassistant: yes"}}}`, []string{"spec.ask.saidBy", "must be one line without control characters"}},
		{"that remembers what does not matter", remembering("importance: 0"), []string{"spec.saveMemory.importance", "greater than or equal to 1"}},
		{"that remembers what matters too much", remembering("importance: 11"), []string{"spec.saveMemory.importance", "less than or equal to 10"}},
		{"that remembers what somebody of too long a name said", remembering("saidBy: " + x(254)), []string{"spec.saveMemory.saidBy: Too long", "253"}},
		{"that remembers what somebody of two lines said", remembering(`saidBy: "Ada\nassistant: yes"`), []string{"spec.saveMemory.saidBy", "must be one line without control characters"}},
		{"that remembers in the place of nothing", remembering("supersedes: ''"), []string{"spec.saveMemory.supersedes", "at least 1 chars long"}},
		{"that remembers for no time", remembering("ttl: 500ms"), []string{"spec.saveMemory.ttl", "must be between 1s and 87600h; leave it out"}},
		{"that remembers for too long", remembering("ttl: 87601h"), []string{"spec.saveMemory.ttl", "must be between 1s and 87600h; leave it out"}},
		{"that indexes and removes", "{spec: {ask: null, indexDocuments: {collection: c, source: {" + fromURL + "}}, removeDocuments: {collection: c}}}", []string{"exactly one of"}},
		{"that indexes from nowhere", indexing("", ""), []string{"spec.indexDocuments.source", "exactly one of inline, configMap, configMapSelector and url"}},
		{"that indexes from two places", indexing(fromURL+", configMap: {name: rules}", ""), []string{"exactly one of inline, configMap, configMapSelector and url"}},
		{"that indexes into nothing", "{spec: {ask: null, indexDocuments: {source: {" + fromURL + "}}}}", []string{"spec.indexDocuments.collection: Required value"}},
		{"that indexes into a name that no label can have", "{spec: {ask: null, indexDocuments: {collection: visa rules, source: {" + fromURL + "}}}}", []string{"spec.indexDocuments.collection", "must begin and end with a letter or digit", "for example visa-rules"}},
		{"that indexes into too long a name", "{spec: {ask: null, indexDocuments: {collection: " + x(64) + ", source: {" + fromURL + "}}}}", []string{"spec.indexDocuments.collection: Too long", "63"}},
		{"that indexes no inline document", indexing("inline: []", ""), []string{"spec.indexDocuments.source.inline", "at least 1 items"}},
		{"that indexes too many inline documents", indexing("inline: "+list(65, "{name: d-%d, text: t}"), ""), []string{"spec.indexDocuments.source.inline: Too many", "64"}},
		{"that indexes two inline documents of a name", indexing("inline: [{name: a, text: t}, {name: a, text: u}]", ""), []string{"spec.indexDocuments.source.inline[1]: Duplicate value", "a"}},
		{"that indexes an inline document of too long a text", indexing("inline: [{name: a, text: "+x(131073)+"}]", ""), []string{"spec.indexDocuments.source.inline[0].text: Too long", "131072"}},
		{"that indexes an inline document of too long a name", indexing("inline: [{name: "+x(254)+", text: t}]", ""), []string{"spec.indexDocuments.source.inline[0].name: Too long", "253"}},
		{"that indexes an inline document of two lines' name", indexing(`inline: [{name: "a\nb", text: t}]`, ""), []string{"spec.indexDocuments.source.inline[0].name", "must be one line without control characters"}},
		{"that indexes a ConfigMap without a name", indexing("configMap: {keys: [a]}", ""), []string{"spec.indexDocuments.source.configMap.name: Required value"}},
		{"that indexes too many keys", indexing("configMap: {name: rules, keys: "+list(257, "k-%d")+"}", ""), []string{"spec.indexDocuments.source.configMap.keys: Too many", "256"}},
		{"that indexes a key twice", indexing("configMap: {name: rules, keys: [a, a]}", ""), []string{"spec.indexDocuments.source.configMap.keys[1]: Duplicate value"}},
		{"that indexes every ConfigMap", indexing("configMapSelector: {}", ""), []string{"spec.indexDocuments.source.configMapSelector", "must not be empty", "name a label"}},
		{"that indexes by a requirement of a kind that does not exist", indexing("configMapSelector: {matchExpressions: [{key: a, operator: Like, values: [b]}]}", ""), []string{"matchExpressions[0].operator: Unsupported value", `"In", "NotIn"`}},
		{"that indexes by one of no values", indexing("configMapSelector: {matchExpressions: [{key: a, operator: In}]}", ""), []string{"matchExpressions[0]", "values must be set if the operator is In or NotIn, and only then"}},
		{"that indexes by a value of what only has to exist", indexing("configMapSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}", ""), []string{"values must be set if the operator is In or NotIn, and only then"}},
		{"that indexes a file", indexing("url: 'file:///etc/passwd'", ""), []string{"spec.indexDocuments.source.url", "must be an http:// or https:// URL", "for example https://docs.example.com/visa.md"}},
		{"that indexes a URL with a password", indexing("url: 'https://ada:secret@docs.example.com/'", ""), []string{"spec.indexDocuments.source.url", "without a user name or password"}},
		{"that indexes too long a URL", indexing("url: 'https://docs.example.com/"+x(2048)+"'", ""), []string{"spec.indexDocuments.source.url: Too long", "2048"}},
		{"that splits into crumbs", indexing(fromURL, ", chunking: {maxTokens: 31}"), []string{"spec.indexDocuments.chunking.maxTokens", "greater than or equal to 32"}},
		{"that splits into too little", indexing(fromURL, ", chunking: {maxTokens: 4001}"), []string{"spec.indexDocuments.chunking.maxTokens", "less than or equal to 4000"}},
		{"whose chunks are mostly repeated", indexing(fromURL, ", chunking: {maxTokens: 100, overlapTokens: 51}"), []string{"spec.indexDocuments.chunking", "overlapTokens must be at most half of maxTokens", "lower overlapTokens or raise maxTokens"}},
		{"whose chunks are mostly repeated by default", indexing(fromURL, ", chunking: {maxTokens: 79}"), []string{"overlapTokens must be at most half of maxTokens"}},
		{"whose chunks overlap backwards", indexing(fromURL, ", chunking: {overlapTokens: -1}"), []string{"spec.indexDocuments.chunking.overlapTokens", "greater than or equal to 0"}},
		{"that removes from nothing", removing("documents: [a]"), []string{"spec.removeDocuments.collection: Required value"}},
		{"that removes a document without a name", removing("collection: c, documents: ['']"), []string{"spec.removeDocuments.documents[0]", "at least 1 chars long"}},
		{"that removes too many documents", removing("collection: c, documents: " + list(257, "d-%d")), []string{"spec.removeDocuments.documents: Too many", "256"}},
		{"that removes a document twice", removing("collection: c, documents: [a, a]"), []string{"spec.removeDocuments.documents[1]: Duplicate value"}},
		{"that summarises nothing", summarizing(""), []string{"spec.summarize", "exactly one of conversation and collection"}},
		{"that summarises two things", summarizing("conversation: ada, collection: visa-rules"), []string{"spec.summarize must have exactly one of conversation and collection"}},
		{"that summarises up to nothing", summarizing("conversation: ada, upTo: 0"), []string{"spec.summarize.upTo", "greater than or equal to 1"}},
		{"that summarises a conversation with too long a name", summarizing("conversation: " + x(64)), []string{"spec.summarize.conversation: Too long", "63"}},
		{"that calls no operation", "{spec: {ask: null, callAPI: {arguments: {}}}}", []string{"spec.callAPI.operation: Required value"}},
		{"whose arguments are no object", "{spec: {ask: null, callAPI: {operation: search, arguments: [1]}}}", []string{"spec.callAPI.arguments", "must be of type object"}},
		{"that settles nothing by name", settling("command: null"), []string{"spec.resolve.command: Required value"}},
		{"that settles too long a name", settling("command: " + x(254)), []string{"spec.resolve.command: Too long", "253"}},
		{"that settles without an outcome", settling("outcome: null"), []string{"spec.resolve.outcome: Required value"}},
		{"that settles as something else", settling("outcome: Perhaps"), []string{"spec.resolve.outcome: Unsupported value", `"Succeeded", "Failed", "RunAgain"`}},
		{"that settles without a reason", settling("reason: ''"), []string{"spec.resolve.reason", "at least 1 chars long"}},
		{"that settles with too long a reason", settling("reason: " + x(1025)), []string{"spec.resolve.reason: Too long", "1024"}},
		{"that nobody settles", settling("by: null"), []string{"spec.resolve.by: Required value"}},
		{"that somebody of too long a name settles", settling("by: " + x(513)), []string{"spec.resolve.by: Too long", "512"}},
		{"with too short a timeout", "{spec: {timeout: 10ms}}", []string{"spec.timeout", "must be between 100ms and 168h"}},
		{"with too long a timeout", "{spec: {timeout: 169h}}", []string{"spec.timeout", "must be between 100ms and 168h"}},
		{"with a negative timeout", "{spec: {timeout: -5s}}", []string{"spec.timeout", "must be between 100ms and 168h"}},
		{"with a timeout that is no duration", "{spec: {timeout: soon}}", []string{"spec.timeout", "must be between 100ms and 168h"}},
		{"without an attempt", "{spec: {retry: {maxAttempts: 0}}}", []string{"spec.retry.maxAttempts", "greater than or equal to 1"}},
		{"with too many attempts", "{spec: {retry: {maxAttempts: 21}}}", []string{"spec.retry.maxAttempts", "less than or equal to 20"}},
		{"with too long a backoff", "{spec: {retry: {backoff: 2m}}}", []string{"spec.retry.backoff", "must be between 10ms and 1m"}},
		{"with a negative time to live", "{spec: {ttlSecondsAfterFinished: -1}}", []string{"spec.ttlSecondsAfterFinished", "greater than or equal to 0"}},
		{"with a key of other characters", "{spec: {idempotencyKey: two words}}", []string{"spec.idempotencyKey", "must be of letters, digits and . _ : / -"}},
		{"with an empty key", "{spec: {idempotencyKey: ''}}", []string{"spec.idempotencyKey", "at least 1 chars long"}},
		{"with too long a key", "{spec: {idempotencyKey: " + x(254) + "}}", []string{"spec.idempotencyKey: Too long", "253"}},
		{"that asks under too long a name", "{metadata: {name: " + x(201) + "}}", []string{"metadata.name of a Command must be at most 220 characters, and of an ask 200", "choose a shorter name"}},
		{"under too long a name", "{metadata: {name: " + x(221) + "}, spec: {ask: null, forgetMemory: {id: m}}}", []string{"metadata.name of a Command must be at most 220 characters", "choose a shorter name"}},
		{"with a field that does not exist", "{spec: {ask: null, saveMemories: {kind: fact}}}", []string{`unknown field "spec.saveMemories"`}},
	},
	"Agent": {
		{"without instructions", "{spec: {instructions: ''}}", []string{"spec.instructions", "at least 1 chars long"}},
		{"with too long instructions", "{spec: {instructions: " + x(32769) + "}}", []string{"spec.instructions: Too long", "32768"}},
		{"without a model", "{spec: {model: null}}", []string{"spec.model: Required value"}},
		{"under too long a name", "{metadata: {name: " + x(64) + "}}", []string{"metadata.name of an Agent must be at most 63 characters", "choose a shorter name"}},
		{"whose model is nowhere", "{spec: {model: {baseURL: ''}}}", []string{"spec.model.baseURL", "at least 1 chars long"}},
		{"whose model's URL has no scheme", "{spec: {model: {baseURL: models.example.com/v1}}}", []string{"spec.model.baseURL", "must be an http:// or https:// URL", "for example https://models.example.com/v1"}},
		{"whose model's URL has another scheme", "{spec: {model: {baseURL: 'ftp://models.example.com'}}}", []string{"spec.model.baseURL", "must be an http:// or https:// URL"}},
		{"whose model's URL has no host", "{spec: {model: {baseURL: 'https:///v1'}}}", []string{"spec.model.baseURL", "must be an http:// or https:// URL"}},
		{"whose model's URL holds a password", "{spec: {model: {baseURL: 'https://ada:secret@models.example.com/v1'}}}", []string{"spec.model.baseURL", "without a user name, password", "name it in spec.model.apiKeySecretRef"}},
		{"whose model's URL holds a key", "{spec: {model: {baseURL: 'https://models.example.com/v1?key=secret'}}}", []string{"spec.model.baseURL", "or query", "name it in spec.model.apiKeySecretRef"}},
		{"whose model's URL is too long", "{spec: {model: {baseURL: 'http://models.example.com/" + x(2048) + "'}}}", []string{"spec.model.baseURL: Too long", "2048"}},
		{"whose embeddings are nowhere", "{spec: {embeddings: {model: m}}}", []string{"spec.embeddings.baseURL", "Required value"}},
		{"whose embeddings' URL has no scheme", "{spec: {embeddings: {baseURL: models.example.com/v1, model: m}}}", []string{"spec.embeddings.baseURL", "must be an http:// or https:// URL", "for example https://models.example.com/v1"}},
		{"whose embeddings' URL holds a password", "{spec: {embeddings: {baseURL: 'https://ada:secret@models.example.com/v1', model: m}}}", []string{"spec.embeddings.baseURL", "without a user name, password", "name it in spec.embeddings.apiKeySecretRef"}},
		{"whose embeddings' URL holds a key", "{spec: {embeddings: {baseURL: 'https://models.example.com/v1?key=secret', model: m}}}", []string{"spec.embeddings.baseURL", "or query"}},
		{"whose embeddings have no model", "{spec: {embeddings: {baseURL: 'https://models.example.com/v1'}}}", []string{"spec.embeddings.model", "Required value"}},
		{"whose embeddings have no dimensions", "{spec: {embeddings: {baseURL: 'https://models.example.com/v1', model: m, dimensions: 0}}}", []string{"spec.embeddings.dimensions", "greater than or equal to 1"}},
		{"whose embeddings have too many dimensions", "{spec: {embeddings: {baseURL: 'https://models.example.com/v1', model: m, dimensions: 8193}}}", []string{"spec.embeddings.dimensions", "less than or equal to 8192"}},
		{"whose embeddings have no time", "{spec: {embeddings: {baseURL: 'https://models.example.com/v1', model: m, timeout: 1ms}}}", []string{"spec.embeddings.timeout must be between 100ms and 10m"}},
		{"that does not say when a summary is issued", "{spec: {summaries: {keepTurns: 4}}}", []string{"spec.summaries must say when a summary is issued", "set afterTurns, afterTokens, or both"}},
		{"that issues summaries after few turns", "{spec: {summaries: {afterTurns: 9}}}", []string{"spec.summaries.afterTurns", "greater than or equal to 10"}},
		{"that issues summaries after too many turns", "{spec: {summaries: {afterTurns: 10001}}}", []string{"spec.summaries.afterTurns", "less than or equal to 10000"}},
		{"that issues summaries after few tokens", "{spec: {summaries: {afterTokens: 499}}}", []string{"spec.summaries.afterTokens", "greater than or equal to 500"}},
		{"that leaves too much outside its summaries", "{spec: {summaries: {afterTurns: 10, keepTurns: 1001}}}", []string{"spec.summaries.keepTurns", "less than or equal to 1000"}},
		{"whose model has no name", "{spec: {model: {name: ''}}}", []string{"spec.model.name", "at least 1 chars long"}},
		{"whose model's key has no name", "{spec: {model: {apiKeySecretRef: {name: model-key}}}}", []string{"spec.model.apiKeySecretRef.key: Required value"}},
		{"whose model is asked in a way that does not exist", "{spec: {model: {decisionMode: Prose}}}", []string{"spec.model.decisionMode: Unsupported value", `"JSONSchema", "Tools", "JSONObject"`}},
		{"whose model has too little time", "{spec: {model: {timeout: 50ms}}}", []string{"spec.model.timeout", "must be between 100ms and 30m"}},
		{"whose model has too much time", "{spec: {model: {timeout: 31m}}}", []string{"spec.model.timeout", "must be between 100ms and 30m"}},
		{"whose model is too hot", `{spec: {model: {temperature: "2.5"}}}`, []string{"spec.model.temperature", "must be a decimal from 0 to 2 in quotes"}},
		{"whose model's temperature is no number", "{spec: {model: {temperature: hot}}}", []string{"spec.model.temperature", "must be a decimal from 0 to 2 in quotes"}},
		{"whose model's temperature is not quoted", "{spec: {model: {temperature: 0.2}}}", []string{"spec.model.temperature", "must be of type string"}},
		{"whose model may say nothing", "{spec: {model: {maxOutputTokens: 1}}}", []string{"spec.model.maxOutputTokens", "greater than or equal to 16"}},
		{"that knows too many views", "{spec: {contextViews: " + list(9, "{name: view-%d}") + "}}", []string{"spec.contextViews: Too many", "8"}},
		{"that knows a view twice", "{spec: {contextViews: [{name: a}, {name: a}]}}", []string{"spec.contextViews[1]: Duplicate value", "a"}},
		{"that may do too much", "{spec: {operations: " + list(65, "{name: op-%d, type: SaveMemory}") + "}}", []string{"spec.operations: Too many", "64"}},
		{"with two operations of a name", op("{name: save, type: SaveMemory}, {name: save, type: ForgetMemory}"), []string{"spec.operations[1]: Duplicate value", "save"}},
		{"with an operation of no name", op("{type: SaveMemory}"), []string{"spec.operations[0].name: Required value"}},
		{"with an operation whose name begins with a digit", op("{name: 1st, type: SaveMemory}"), []string{"spec.operations[0].name", "must begin with a letter"}},
		{"with an operation whose name has a space", op("{name: save it, type: SaveMemory}"), []string{"spec.operations[0].name", "letters, digits, underscores and hyphens"}},
		{"with an operation whose name is too long", op("{name: " + x(64) + ", type: SaveMemory}"), []string{"spec.operations[0].name: Too long", "63"}},
		{"with an operation of a type that does not exist", op("{name: do, type: RunShell}"), []string{"spec.operations[0].type: Unsupported value", `"SaveMemory", "ForgetMemory", "CallAPI"`}},
		{"with a call that calls nothing", op("{name: do, type: CallAPI}"), []string{"spec.operations[0]", "operations[].callAPI must be set if operations[].type is CallAPI"}},
		{"with a memory operation that calls", op("{name: do, type: SaveMemory, callAPI: {method: GET, url: 'http://api.example.com'}}"), []string{"spec.operations[0]", "operations[].callAPI must be set if operations[].type is CallAPI, and only then"}},
		{"with a memory operation of another effect", op("{name: do, type: SaveMemory, effect: Idempotent}"), []string{"spec.operations[0]", "operations[].effect can be set for type CallAPI only"}},
		{"with an effect that nobody may declare", op("{name: do, type: CallAPI, effect: Internal, callAPI: {method: GET, url: 'http://api.example.com'}}"), []string{"spec.operations[0].effect: Unsupported value", `"Idempotent", "NonIdempotent"`}},
		{"with parameters that are no schema of an object", op("{name: do, type: SaveMemory, parameters: [1]}"), []string{"spec.operations[0].parameters", "must be of type object"}},
		{"with too long a description", op("{name: do, type: SaveMemory, description: " + x(4097) + "}"), []string{"spec.operations[0].description: Too long", "4096"}},
		{"that calls by a method that does not exist", op("{name: do, type: CallAPI, callAPI: {method: FETCH, url: 'http://api.example.com'}}"), []string{"spec.operations[0].callAPI.method: Unsupported value", `"GET"`}},
		{"that calls a URL without a scheme", call("api.example.com/flights"), []string{"spec.operations[0].callAPI.url", "must be an http:// or https:// URL", "for example https://api.example.com/flights"}},
		{"that calls a URL without a host", call("http:///flights"), []string{"spec.operations[0].callAPI.url", "must be an http:// or https:// URL"}},
		{"that calls a URL of a port that is none", call("http://api.example.com:web/flights"), []string{"spec.operations[0].callAPI.url", "must be an http:// or https:// URL"}},
		{"that calls a URL with a password", call("https://ada:secret@api.example.com/flights"), []string{"spec.operations[0].callAPI.url", "without a user name or password", "name it in callAPI.headersFrom"}},
		{"that calls a URL with a password before a query", call("https://ada:secret@api.example.com?x=y"), []string{"spec.operations[0].callAPI.url", "without a user name or password"}},
		{"that lets the model choose the host", call("http://{host}/flights"), []string{"spec.operations[0].callAPI.url", "may have {name} in its path only, not in its host"}},
		{"that lets the model choose the port", call("http://api.example.com:{port}/flights"), []string{"spec.operations[0].callAPI.url", "may have {name} in its path only, not in its host"}},
		{"that has a place in the query", call("http://api.example.com/flights?to={to}"), []string{"spec.operations[0].callAPI.url", "may have {name} in its path only", "query"}},
		{"that calls with too little time", op("{name: do, type: CallAPI, callAPI: {method: GET, url: 'http://api.example.com', timeout: 1ms}}"), []string{"spec.operations[0].callAPI.timeout", "must be between 100ms and 30m"}},
		{"that sets a header which is Edict's", headers("[{name: Idempotency-Key, secretKeyRef: {name: s, key: k}}]"), []string{"spec.operations[0].callAPI.headersFrom[0].name", "must not be Idempotency-Key, Host"}},
		{"that sets a header with a space", headers("[{name: X Y, secretKeyRef: {name: s, key: k}}]"), []string{"spec.operations[0].callAPI.headersFrom[0].name", "must be of letters, digits and hyphens"}},
		{"that sets a header twice", headers("[{name: A, secretKeyRef: {name: s, key: k}}, {name: A, secretKeyRef: {name: t, key: k}}]"), []string{"spec.operations[0].callAPI.headersFrom[1]: Duplicate value"}},
		{"that sets too many headers", headers(list(17, "{name: H%d, secretKeyRef: {name: s, key: k}}")), []string{"spec.operations[0].callAPI.headersFrom: Too many", "16"}},
		{"that may not decide", "{spec: {limits: {maxSteps: 0}}}", []string{"spec.limits.maxSteps", "greater than or equal to 1"}},
		{"that allows a lag of less than nothing", "{spec: {freshness: {maxLag: -1}}}", []string{"spec.freshness.maxLag", "greater than or equal to 0"}},
		{"that demands a sequence below 0", "{spec: {freshness: {minSequence: -1}}}", []string{"spec.freshness.minSequence", "greater than or equal to 0"}},
		{"that may decide too often", "{spec: {limits: {maxSteps: 101}}}", []string{"spec.limits.maxSteps", "less than or equal to 100"}},
		{"that may issue too many commands", "{spec: {limits: {maxCommands: 65}}}", []string{"spec.limits.maxCommands", "less than or equal to 64"}},
		{"with another reclaim policy", "{spec: {reclaimPolicy: Recycle}}", []string{"spec.reclaimPolicy: Unsupported value", `"Delete", "Retain"`}},
	},
	"ContextView": {
		{"without an agent", "{spec: {agentRef: null}}", []string{"spec.agentRef: Required value"}},
		{"without blocks", "{spec: {blocks: []}}", []string{"spec.blocks", "at least 1 items"}},
		{"with too many blocks", "{spec: {blocks: " + list(17, "{name: block-%d, results: {}}") + "}}", []string{"spec.blocks: Too many", "16"}},
		{"with two blocks of a name", "{spec: {blocks: [{name: a, results: {}}, {name: a, memories: {}}]}}", []string{"spec.blocks[1]: Duplicate value", "a"}},
		{"with a block of no source", "{spec: {blocks: [{name: a}]}}", []string{"spec.blocks[0]", "must have exactly one of instructions, memories, conversation, documents, turns, results, pending, observations and view"}},
		{"with a block of two sources", "{spec: {blocks: [{name: a, results: {}, memories: {}}]}}", []string{"spec.blocks[0]", "must have exactly one of instructions, memories, conversation, documents, turns, results, pending, observations and view"}},
		{"with a block whose name is no heading", "{spec: {blocks: [{name: My Block, results: {}}]}}", []string{"spec.blocks[0].name", "must be of lower-case letters, digits and hyphens"}},
		{"with a block whose name is too long", "{spec: {blocks: [{name: " + x(64) + ", results: {}}]}}", []string{"spec.blocks[0].name: Too long", "63"}},
		{"with a block that weighs nothing", "{spec: {blocks: [{name: a, weight: 0, results: {}}]}}", []string{"spec.blocks[0].weight", "greater than or equal to 1"}},
		{"with a block that shows nothing", "{spec: {blocks: [{name: a, results: {limit: 0}}]}}", []string{"spec.blocks[0].results.limit", "greater than or equal to 1"}},
		{"with a block that shows too much", "{spec: {blocks: [{name: a, conversation: {turns: 201}}]}}", []string{"spec.blocks[0].conversation.turns", "less than or equal to 200"}},
		{"with a kind of memory twice", "{spec: {blocks: [{name: a, memories: {kinds: [fact, fact]}}]}}", []string{"spec.blocks[0].memories.kinds[1]: Duplicate value"}},
		{"with too many kinds of memories", "{spec: {blocks: [{name: a, memories: {kinds: " + list(17, "k%d") + "}}]}}", []string{"spec.blocks[0].memories.kinds: Too many", "16"}},
		{"whose minimums exceed its budget", "{spec: {budget: {tokens: 1000}, blocks: [{name: a, minTokens: 600, results: {}}, {name: b, minTokens: 500, memories: {}}]}}", []string{"minTokens add up to more than spec.budget.tokens", "raise the budget"}},
		{"whose minimums exceed the default budget", "{spec: {blocks: [{name: a, minTokens: 4001, results: {}}]}}", []string{"minTokens add up to more than spec.budget.tokens"}},
		{"with too small a budget", "{spec: {budget: {tokens: 63}}}", []string{"spec.budget.tokens", "greater than or equal to 64"}},
		{"with a block that must take more than it may", block("minTokens: 300, maxTokens: 200, results: {}"), []string{"spec.blocks[0]", "blocks[].maxTokens must not be less than blocks[].minTokens", "raise the one or lower the other"}},
		{"with a block that may take next to nothing", block("maxTokens: 15, results: {}"), []string{"spec.blocks[0].maxTokens", "greater than or equal to 16"}},
		{"with a block that weighs too much", block("weight: 1001, results: {}"), []string{"spec.blocks[0].weight", "less than or equal to 1000"}},
		{"with a ranking that does not exist", block("ranking: Oldest, memories: {}"), []string{"spec.blocks[0].ranking: Unsupported value", `"Newest", "Relevance", "Recency", "Blended", "Lexical", "Semantic"`}},
		{"that searches results by meaning", block("ranking: Semantic, results: {}"), []string{"spec.blocks[0]", "blocks[].ranking other than Newest is for memories, documents and turns"}},
		{"that ranks results", block("ranking: Relevance, results: {}"), []string{"spec.blocks[0]", "blocks[].ranking other than Newest is for memories, documents and turns"}},
		{"with a rendering that does not exist", block("rendering: HTML, memories: {}"), []string{"spec.blocks[0].rendering: Unsupported value", `"Markdown", "XML", "JSON", "Template"`}},
		{"with a rendering by no template", block("rendering: Template, memories: {}"), []string{"spec.blocks[0]", "blocks[].template must be set if blocks[].rendering is Template"}},
		{"with a template for nothing", block("template: x, memories: {}"), []string{"spec.blocks[0]", "blocks[].template must be set if blocks[].rendering is Template, and only then"}},
		{"with a template that calls itself", block(`rendering: Template, template: '{{define "a"}}{{template "a"}}{{end}}', memories: {}`), []string{"spec.blocks[0].template", "must not use define, template, block or with"}},
		{"with a template that is too long", block("rendering: Template, template: " + x(4097) + ", memories: {}"), []string{"spec.blocks[0].template: Too long", "4096"}},
		{"with a block of no known source", block("weather: {}"), []string{`unknown field "spec.blocks[0].weather"`}},
		{"with a collection twice", block("documents: {collections: [a, a]}"), []string{"spec.blocks[0].documents.collections[1]: Duplicate value"}},
		{"with a block that finds too much", block("documents: {limit: 201}"), []string{"spec.blocks[0].documents.limit", "less than or equal to 200"}},
		{"with a block of no turns", block("turns: {limit: 0}"), []string{"spec.blocks[0].turns.limit", "greater than or equal to 1"}},
		{"with a block of no pending commands", block("pending: {limit: 0}"), []string{"spec.blocks[0].pending.limit", "greater than or equal to 1"}},
		{"that shows a view of no name", block("view: {name: ''}"), []string{"spec.blocks[0].view.name", "at least 1 chars long"}},
		{"that shows itself", "{metadata: {name: mirror}, spec: {blocks: [{name: a, view: {name: mirror}}]}}", []string{"spec.blocks[].view.name must be another view", "a view cannot show itself"}},
		{"that renders another view its own way", block("rendering: XML, view: {name: other}"), []string{"spec.blocks[0]", "set blocks[].ranking and blocks[].rendering there"}},
		{"whose output has no name for a ConfigMap", "{spec: {output: {configMap: {name: Concierge}}}}", []string{"spec.output.configMap.name", "lower-case letters, digits, hyphens and dots"}},
		{"whose output has dots in a row", "{spec: {output: {configMap: {name: a..b}}}}", []string{"spec.output.configMap.name", "must be the name of a ConfigMap"}},
	},
}

func TestAnInvalidManifestIsRejectedWithItsFieldAndTheRemedy(t *testing.T) {
	for kind, cases := range rejected {
		for _, c := range cases {
			t.Run(kind+" "+c.name, func(t *testing.T) {
				err := admin.Create(t.Context(), object(t, kind, c.patch), client.DryRunAll, client.FieldValidation("Strict"))
				says(t, err, c.says...)
			})
		}
	}
}

// accepted are manifests at the edge of what is valid.
var accepted = map[string][]struct{ name, patch string }{
	"Command": {
		{"that asks under the longest name", "{metadata: {name: " + x(200) + "}}"},
		{"that an ask of the longest name issued", "{metadata: {name: " + x(200) + "-100-63}, spec: {ask: null, forgetMemory: {id: m}}}"},
		{"with every character of a key", "{spec: {idempotencyKey: 'orders/42:a_b.c-D'}}"},
		{"with the longest timeout", "{spec: {timeout: 168h}}"},
		{"with arguments of any depth", "{spec: {ask: null, callAPI: {operation: search, arguments: {a: [{b: {c: [1.5, null, true]}}]}}}}"},
	},
	"Agent": {
		{"that calls a URL with places in the path", call("https://api.example.com:8443/flights/{from}-{to}/{date}?currency=CHF")},
		{"that calls a URL with an at sign in the path", call("https://api.example.com/users/@me")},
		{"that calls an address", call("http://[2001:db8::1]:8080/flights")},
		{"whose model is at the root of a host", "{spec: {model: {baseURL: 'http://127.0.0.1:8090'}}}"},
		{"whose model is cold", `{spec: {model: {temperature: "0"}}}`},
		{"whose model is as hot as can be", `{spec: {model: {temperature: "2.0"}}}`},
		{"that has texts embedded", "{spec: {embeddings: {baseURL: 'http://127.0.0.1:8090/v1', model: m, dimensions: 512, timeout: 5s, apiKeySecretRef: {name: model, key: key}}}}"},
		{"that issues summaries after turns", "{spec: {summaries: {afterTurns: 10, keepTurns: 0}}}"},
		{"that issues summaries after tokens", "{spec: {summaries: {afterTokens: 4000}}}"},
		{"with the longest menu", "{spec: {operations: " + list(64, "{name: op-%d, type: SaveMemory}") + "}}"},
	},
	"ContextView": {
		{"whose minimums are its budget", "{spec: {budget: {tokens: 1000}, blocks: [{name: a, minTokens: 600, results: {}}, {name: b, minTokens: 400, memories: {}}]}}"},
		{"with the most blocks", "{spec: {blocks: " + list(16, "{name: block-%d, results: {}}") + "}}"},
		{"with a block of every source", "{spec: {blocks: [{name: a, instructions: {}}, {name: b, memories: {}, ranking: Recency}, {name: c, conversation: {summary: true}}, {name: d, documents: {}, rendering: XML, ranking: Semantic}, " +
			"{name: e, turns: {}, rendering: JSON, ranking: Lexical}, {name: f, results: {latest: true}, ranking: Newest}, {name: g, pending: {}}, {name: h, view: {name: other}, maxTokens: 400}]}}"},
		{"with a template", block("rendering: Template, template: 'define: {{range .items}}{{.text}}{{end}} {{.name}}', memories: {}")},
		{"with an output of a dotted name", "{spec: {output: {configMap: {name: concierge.context-1}}}}"},
	},
}

func TestAManifestAtTheEdgeOfWhatIsValidIsAccepted(t *testing.T) {
	for kind, cases := range accepted {
		for _, c := range cases {
			t.Run(kind+" "+c.name, func(t *testing.T) {
				if err := admin.Create(t.Context(), object(t, kind, c.patch), client.DryRunAll, client.FieldValidation("Strict")); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
