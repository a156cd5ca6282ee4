package cdc

import (
	"testing"

	"walpurge/dev/testbed"
)

// Columns that differ in letter case only have one key in Depends-On.
func TestColumnsThatDifferInLetterCaseOnly(t *testing.T) {
	url := testbed.Database(t)
	newClient(t, url).exec(`CREATE TABLE posts (id int PRIMARY KEY, "userId" int, userid int, "authorId" int)`, "ALTER TABLE posts REPLICA IDENTITY FULL")
	columns := []string{"id", "userId", "authorId"}
	r := listen(t, config(t, url, Watch{Table: "public.posts", Columns: columns, Conditions: columns}))
	table := &r.guard.Tables()[0]
	for key, want := range map[string]int{"id": 0, "userid": -1, "userId": -1, "authorid": 2, "authorId": -1} {
		if got := table.Key(key); got != want {
			t.Errorf("the key %s is column %d, want %d", key, got, want)
		}
	}
	r.expect(sql("INSERT INTO posts VALUES (1, 2, 3, 4)"), "insert posts: id=1 userId=2 authorId=4")
	// A page that has named authorid must not be left by what another column of
	// this key says.
	r.exec("ALTER TABLE posts ADD COLUMN authorid int")
	r.afterwards()
	r.expect(sql("INSERT INTO posts VALUES (2, 3, 4, 5, 6)"), "insert posts: id=2 userId=3 authorId=?")
}
