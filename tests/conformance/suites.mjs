// All suites that a shared cache is measured by, as the package's own command line takes them.
import tests from 'http-cache-tests/tests/index.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'

export const suites = [...tests, surrogate]

// Every test that is not for browsers only, by id.
export const all = new Map(suites.flatMap(suite => suite.tests).filter(test => !test.browser_only).map(test => [test.id, test]))
