// The client of http-cache-tests against BASE; all tests, or those named. Prints {id: true | [kind, message]}.
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import { suites } from './suites.mjs'

const [base, ...ids] = process.argv.slice(2)
const wanted = test => ids.length === 0 || ids.includes(test.id)
const chosen = suites.map(suite => ({ ...suite, tests: suite.tests.filter(wanted) }))
await runTests(chosen.filter(suite => suite.tests.length > 0), fetch, false, base)
console.log(JSON.stringify(getResults()))
