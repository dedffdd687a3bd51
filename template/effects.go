package template

import (
	"slices"
	"strings"

	"render/template/fragment"
	"render/template/funcs"
)

// effectOf says what a function means for the body of a range. A function that is not listed here is effectful: to have ranges
// keep what they do with it, add its name to the list that fits.
func effectOf(name string, arguments int) fragment.Effect {
	if funcs.Original(name) == "secret" { // with more arguments it writes, which depends on all that the pass has asked so far
		if arguments == 1 {
			return fragment.Asks
		}
		return fragment.Effectful
	}
	if name == "executeTemplate" {
		return fragment.Executes
	}
	if slices.Contains(askingNames, name) {
		return fragment.Asks
	}
	if _, pure := slices.BinarySearch(pureNames, funcs.Original(name)); pure {
		return fragment.Pure
	}
	return fragment.Effectful
}

// askingNames are the functions that ask a query. What plugin and pkiCert do depends on more: on all that the pass has asked so far.
var askingNames = strings.Fields(`caLeaf caRoots connect datacenters exportedServices file importedServices key
	keyExists keyOrDefault key_or_default ls node nodes nomadService nomadServices nomadVar nomadVarExists nomadVarList
	nomadVarListSafe partitions peerings safeLs safeTree secretExists secretOrDefault secrets service services tree`)

// pureNames are the functions whose result depends on their arguments alone, and that change none of these, by their
// original names. The named arguments of queries are among them, and hostport: an iteration keeps what it drops.
//
// Not among them are those that depend on the time, the machine or the environment (durationRound, sockaddr, env …), that change
// an argument (set, merge …) or something else (scratch, writeToFile, spew_dump …), that print how a value lies in memory
// (spew_sdump …), or that call what they are given (call).
var pureNames = slices.Sorted(slices.Values(strings.Fields(`
	acceptFiltered dc filter meta name near ns partition peer samenessGroup status tag
	fail hostport
	and eq ge gt html index js le len lt ne not or print printf println slice urlquery
	base64Decode base64Encode base64URLDecode base64URLEncode byKey byMeta byPort byTag contains containsAll containsAny
	containsNone containsNotAll explode explodeMap groupBy hmacSHA256Hex in indent join loop md5sum parseBool parseFloat
	parseInt parseJSON parseUint parseYAML regexMatch regexReplaceAll replaceAll sha256Hex sortBy split splitToMap toJSON
	toJSONPretty toLower toTOML toTitle toUnescapedJSON toUnescapedJSONPretty toUpper toYAML trim trimPrefix trimSpace
	trimSuffix uniq where
	haproxyQuote jsonQuote nginxMapKey nginxQuote shellQuote tomlQuote yamlQuote
	add divide maximum minimum modulo multiply subtract
	sprig_add sprig_contains sprig_indent sprig_join sprig_regexMatch sprig_regexReplaceAll sprig_slice sprig_split
	sprig_trim sprig_trimPrefix sprig_trimSuffix sprig_uniq
	abbrev abbrevboth add1 add1f addf adler32sum all any append atoi b32dec b32enc b64dec b64enc base camelcase cat ceil chunk
	clean coalesce compact concat deepCopy deepEqual default dict dig dir div divf duration empty ext first float64 floor
	fromJson get has hasKey hasPrefix hasSuffix hello initial initials int int64 isAbs kebabcase keys kindIs kindOf last list
	lower max maxf min minf mod mul mulf mustAppend mustChunk mustCompact mustDeepCopy mustFirst mustFromJson mustHas
	mustInitial mustLast mustPrepend mustRegexFind mustRegexFindAll mustRegexMatch mustRegexReplaceAll
	mustRegexReplaceAllLiteral mustRegexSplit mustRest mustReverse mustSlice mustToJson mustToPrettyJson mustToRawJson mustUniq
	mustWithout nindent nospace omit osBase osClean osDir osExt osIsAbs pick pluck plural prepend quote regexFind regexFindAll
	regexQuoteMeta regexReplaceAllLiteral regexSplit repeat replace rest reverse round semver semverCompare seq sha1sum
	sha256sum sha512sum snakecase sortAlpha splitList splitn squote sub subf substr swapcase ternary title toDecimal toJson
	toPrettyJson toRawJson toString toStrings trimAll trunc typeIs typeIsLike typeOf until untilStep untitle upper urlJoin
	urlParse values without wrap wrapWith`)))
