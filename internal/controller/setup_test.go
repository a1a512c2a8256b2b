package controller

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/event"

	edictv1 "github.com/edict-dev/edict/api/v1alpha1"
)

// TestAnObjectThatWasMadeAgainIsLookedAt is what a watch that was broken meanwhile tells of a deletion and a creation.
func TestAnObjectThatWasMadeAgainIsLookedAt(t *testing.T) {
	before, again, touched := &edictv1.Command{}, &edictv1.Command{}, &edictv1.Command{}
	before.UID, before.Generation, before.ResourceVersion = "first", 1, "5"
	again.UID, again.Generation, again.ResourceVersion = "second", 1, "9"
	touched.UID, touched.Generation, touched.ResourceVersion = "first", 1, "7"
	if !specMoved.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: again}) {
		t.Error("another object of the same name and generation is not looked at")
	}
	if specMoved.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: touched}) {
		t.Error("a write of the status is looked at")
	}
}
