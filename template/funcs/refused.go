package funcs

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// refused are functions that consul-template or sprig has and that are not here, with what an error says of them.
var refused = func() map[string]string {
	messages := make(map[string]string)
	add := func(names, format string) {
		for _, name := range strings.Fields(names) {
			messages[name] = fmt.Sprintf(format, name)
		}
	}
	add("pkiCert secret secrets vault", "%s needs Vault, which this build does not read yet")
	add("nomadService nomadServices nomadVar nomadVarExists nomadVarList nomadVarListSafe",
		"%s needs Nomad, which this build does not read yet")
	const unrepeatable = "there is no function %s: its result differs from pass to pass, so that each change of other data would change the file, too"
	add(unrepeatableSprig, unrepeatable)
	add("sprig_"+strings.Join(strings.Fields(unrepeatableSprig), " sprig_"), unrepeatable)
	add("expandenv sprig_env sprig_expandenv", "there is no function %s: use env")
	add("keyPrefix storeKeyPrefix", "there is no function %s: use ls, or tree for all that is below") // the oldest names
	return messages
}()

// unrepeatableSprig are the functions of sprig whose result depends on more than their arguments: chance, time, the network.
const unrepeatableSprig = `ago bcrypt date dateInZone dateModify date_in_zone date_modify encryptAES genCA genCAWithKey
	genPrivateKey genSelfSignedCert genSelfSignedCertWithKey genSignedCert genSignedCertWithKey getHostByName htmlDate
	htmlDateInZone htpasswd now randAlpha randAlphaNum randAscii randBytes randInt randNumeric shuffle uuidv4`

// Refused returns what an error says of a function that is left out, and nothing for all others.
func Refused(name string) string { return refused[name] }

// RefusedNames returns the names of the functions that are left out, in no order.
func RefusedNames() []string { return slices.Collect(maps.Keys(refused)) }
