package funcs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A refusal is what an error says of a function that does not exist here.
type refusal struct{ message, hint string }

// refused are functions that consul-template or sprig has and that are not here.
var refused = func() map[string]refusal {
	refusals := make(map[string]refusal)
	add := func(names, format, hint string) {
		for _, name := range strings.Fields(names) {
			refusals[name] = refusal{fmt.Sprintf(format, name), hint}
		}
	}
	const missing = "there is no function %s"
	const unrepeatable = missing + ": its result is different each time, so every change of other data would also change the file"
	add(unrepeatableSprig, unrepeatable, "")
	add("sprig_"+strings.Join(strings.Fields(unrepeatableSprig), " sprig_"), unrepeatable, "")
	add("expandenv sprig_env sprig_expandenv", missing, "use env")
	add("keyPrefix storeKeyPrefix", missing, "use ls, or tree for keys on all levels") // the oldest names
	return refusals
}()

// unrepeatableSprig are the functions of sprig whose result depends on more than their arguments: chance, time, the network.
const unrepeatableSprig = `ago bcrypt date dateInZone dateModify date_in_zone date_modify encryptAES genCA genCAWithKey
	genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey getHostByName htmlDate
	htmlDateInZone htpasswd now randAlpha randAlphaNum randAscii randBytes randInt randNumeric shuffle uuidv4`

// Refused returns what an error says of a function that is left out, and a hint, which may be "". The message of another function is "".
func Refused(name string) (message, hint string) { return refused[name].message, refused[name].hint }

// RefusedNames returns the names of the functions that are left out, in no order.
func RefusedNames() []string { return slices.Collect(maps.Keys(refused)) }
