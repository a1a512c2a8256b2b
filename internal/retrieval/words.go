package retrieval

import "strings"

// stopWords are Snowball's English stop words (https://snowballstem.org/algorithms/english/stop.txt), those that the list
// leaves to its readers included, and what is left of contractions.
var stopWords = setOf(`
	i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it its
	itself they them their theirs themselves what which who whom this that these those am is are was were be been being
	have has had having do does did doing would should could ought i'm you're he's she's it's we're they're i've you've
	we've they've i'd you'd he'd she'd we'd they'd i'll you'll he'll she'll we'll they'll isn't aren't wasn't weren't
	hasn't haven't hadn't doesn't don't didn't won't wouldn't shan't shouldn't can't cannot couldn't mustn't let's that's
	who's what's here's there's when's where's why's how's a an the and but if or because as until while of at by for with
	about against between into through during before after above below to from up down in out on off over under again
	further then once here there when where why how all any both each few more most other some such no nor not only own
	same so than too very can will just now
	s t d ll m o re ve don isn aren wasn weren hasn haven hadn doesn didn won wouldn shouldn couldn`)

// irregular are the forms of common English words that no rule takes to their base. A form that is as common as another
// word's base (saw, felt, left, found, leaves) is taken for what it more often is in speech.
var irregular = pairsOf(`
	arose:arise arisen:arise ate:eat eaten:eat beaten:beat became:become began:begin begun:begin bent:bend bit:bite
	bitten:bite bled:bleed blew:blow blown:blow bought:buy bred:breed broke:break broken:break brought:bring built:build
	burnt:burn came:come caught:catch chose:choose chosen:choose crept:creep dealt:deal drank:drink drawn:draw drew:draw
	driven:drive drove:drive drunk:drink dug:dig dreamt:dream fallen:fall fed:feed fell:fall felt:feel fled:flee
	flew:fly flown:fly forbidden:forbid forgave:forgive forgiven:forgive forgot:forget forgotten:forget fought:fight
	found:find froze:freeze frozen:freeze gave:give given:give goes:go gone:go got:get gotten:get grew:grow grown:grow
	heard:hear held:hold hid:hide hidden:hide hung:hang kept:keep knew:know known:know laid:lay learnt:learn led:lead
	left:leave lent:lend lost:lose made:make meant:mean met:meet mistook:mistake overcame:overcome paid:pay proven:prove
	ran:run rang:ring ridden:ride risen:rise rode:ride rung:ring said:say sang:sing sank:sink sat:sit saw:see seen:see
	sent:send sewn:sew shaken:shake shook:shake shone:shine shot:shoot shown:show shrank:shrink slept:sleep slid:slide
	sold:sell sought:seek spent:spend spoke:speak spoken:speak sprang:spring stolen:steal stole:steal stood:stand
	struck:strike stuck:stick sung:sing swam:swim swept:sweep swore:swear sworn:swear swum:swim taken:take taught:teach
	thought:think threw:throw thrown:throw told:tell took:take tore:tear torn:tear understood:understand went:go
	wept:weep withdrew:withdraw woke:wake woken:wake won:win wore:wear worn:wear wove:weave woven:weave written:write
	wrote:write
	children:child feet:foot geese:goose halves:half knives:knife leaves:leaf lives:life loaves:loaf men:man mice:mouse
	people:person shelves:shelf teeth:tooth wives:wife wolves:wolf women:woman`)

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

func pairsOf(words string) map[string]string {
	pairs := map[string]string{}
	for _, pair := range strings.Fields(words) {
		form, base, _ := strings.Cut(pair, ":")
		pairs[form] = base
	}
	return pairs
}
