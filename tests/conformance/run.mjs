// Runs http-cache-tests against nodes of its own and compares with known-failures.json.
//
//   node run.mjs [--larder PATH]    starts the suite's origin and a node in front of it, once for each way below
//   node run.mjs --base URL         against a cache that is there already (its origin on --origin-port)
//   node run.mjs ... --way WAY      only one way: "defaults" or "letter"
//   node run.mjs ... --id ID        one test, with what failed
//
// Exit 0: every failure is known and every known failure fails. 1: something else. 2: it could not run.
import { spawn } from 'node:child_process'
import { openSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { all } from './suites.mjs'

const here = path.dirname(fileURLToPath(import.meta.url))
const { values: flags } = parseArgs({
  options: { larder: { type: 'string' }, base: { type: 'string' }, way: { type: 'string' }, id: { type: 'string' }, 'origin-port': { type: 'string' } }
})
const children = []
const folders = []

// What a site says in each way. What is known to fail in "always" fails in both, "defaults" holds the rest of that way.
const ways = {
  defaults: '',
  letter: '[site.cache]\nclient_staleness = true\nset_cookie = "keep"'
}

async function main () {
  const chosen = Object.keys(ways).filter(way => flags.way === undefined ? !flags.base || way === 'letter' : way === flags.way)
  if (chosen.length === 0) throw new Error(`--way is one of ${Object.keys(ways).join(', ')}`)
  try {
    const codes = await Promise.all(chosen.map(measure))
    return Math.max(...codes)
  } finally {
    for (const child of children) child.kill('SIGKILL')
    for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function measure (way) {
  const folder = await mkdtemp(path.join(tmpdir(), 'larder-conformance-'))
  folders.push(folder)
  try {
    const origin = Number(flags['origin-port'] ?? await freePort())
    await startOrigin(origin, folder)
    const base = flags.base ?? await startNode(origin, folder, ways[way])
    const lists = JSON.parse(await readFile(path.join(here, 'known-failures.json'), 'utf8'))
    const known = { ...lists.always, ...lists[way] }
    if (flags.id) return report(way, await client(base, [flags.id]), {})
    const results = await client(base, [])
    const odd = unexpected(results, known).map(({ id }) => id)
    if (odd.length > 0 && odd.length <= 20) {
      // A busy machine can miss a deadline of the suite (its lifetimes are seconds); a real failure fails again.
      console.log(`${way}, once more: ${odd.join(' ')}`)
      Object.assign(results, await client(base, odd))
    }
    return report(way, results, known)
  } catch (error) {
    console.error(await readFile(path.join(folder, 'stderr'), 'utf8').catch(() => ''))
    throw error
  }
}

async function startOrigin (port, folder) {
  const suite = path.join(here, 'node_modules', 'http-cache-tests')
  const env = { npm_config_protocol: 'http', npm_config_port: String(port), npm_config_pidfile: path.join(folder, 'server.pid') }
  start(process.execPath, ['server/server.mjs'], { cwd: suite, env: { ...process.env, ...env }, stdio: 'ignore' })
  await until(() => answers(`http://127.0.0.1:${port}/`), 'the origin of the suite')
}

async function startNode (origin, folder, cache) {
  const [http, admin] = [await freePort(), await freePort()]
  const file = path.join(folder, 'larder.toml')
  const template = await readFile(path.join(here, 'larder.toml'), 'utf8')
  await writeFile(file, template.replace('@HTTP@', http).replace('@ADMIN@', admin).replace('@ORIGIN@', origin).replace('@CACHE@', cache))
  await writeFile(path.join(folder, 'admin.token'), 'conformance-conformance\n', { mode: 0o600 })
  const log = openSync(path.join(folder, 'stderr'), 'w')
  start(path.resolve(flags.larder ?? path.join(here, '../../target/debug/larder')), ['run', '--config', file], { stdio: ['ignore', 'inherit', log] })
  await until(() => answers(`http://127.0.0.1:${admin}/readyz`), 'the node')
  return `http://127.0.0.1:${http}`
}

function start (command, args, options) {
  const child = spawn(command, args, options)
  child.on('error', error => { throw error })
  children.push(child)
}

async function client (base, ids) {
  const child = spawn(process.execPath, ['--no-warnings', 'client.mjs', base, ...ids], { cwd: here, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  for await (const piece of child.stdout) out += piece
  return JSON.parse(out.slice(out.indexOf('{')))
}

// How a test went: pass, fail, setup, retry; or dependency: it builds on something that this cache does not do (such as
// serving stale without permission), so that it measures nothing here.
function verdict (id, results, seen = new Set()) {
  const result = results[id]
  for (const other of all.get(id).depends_on ?? []) {
    if (results[other] !== undefined && !seen.has(other) && verdict(other, results, new Set([...seen, id])) !== 'pass') {
      return 'dependency'
    }
  }
  if (result === true) return 'pass'
  if (result?.[0] === 'Setup') return result[1] === 'retry' ? 'retry' : 'setup'
  return 'fail'
}

function unexpected (results, known) {
  const odd = []
  for (const [id, test] of all) {
    if (test.kind === 'check' || !(id in results)) continue
    const now = verdict(id, results)
    if (now === 'dependency') continue
    if (now !== 'pass' && !(id in known)) odd.push({ id, what: `${now}: ${results[id]?.[1]}` })
    if (now === 'pass' && id in known) odd.push({ id, what: 'passes, take it off the list' })
  }
  for (const id of Object.keys(known)) {
    if (!all.has(id)) odd.push({ id, what: 'is known but not in the suite' })
    if (!known[id].reason) odd.push({ id, what: 'is known without a reason' })
  }
  return odd
}

function report (way, results, known) {
  const odd = unexpected(results, known)
  for (const kind of ['required', 'optimal', 'check']) {
    const ids = [...all.keys()].filter(id => (all.get(id).kind ?? 'required') === kind && id in results)
      .filter(id => kind === 'check' || verdict(id, results) !== 'dependency')
    const passed = ids.filter(id => verdict(id, results) === 'pass').length
    const word = kind === 'check' ? 'answered yes (they only ask how a cache behaves)' : 'passed'
    console.log(`${way}, ${kind}: ${passed} of ${ids.length} ${word}`)
  }
  const failing = Object.keys(known).filter(id => id in results)
  if (failing.length > 0) console.log(`${way}, known failures: ${failing.length}, each with its reason in known-failures.json`)
  const passed = [...all.keys()].filter(id => all.get(id).kind !== 'check' && verdict(id, results) === 'pass').length
  console.log(`conformance: ${passed} passed, ${odd.length} failed (${way})`)
  for (const { id, what } of odd) console.log(`UNEXPECTED ${way} ${all.get(id)?.kind ?? 'required'} ${id}: ${what}`)
  return odd.length === 0 ? 0 : 1
}

async function freePort () {
  const server = net.createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

async function answers (url) {
  try {
    return (await fetch(url)).ok
  } catch {
    return false
  }
}

async function until (condition, what) {
  for (const end = Date.now() + 15000; Date.now() < end;) {
    if (await condition()) return
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  throw new Error(`waited in vain for ${what}`)
}

main().then(code => { process.exitCode = code }, error => { console.error(error.message); process.exitCode = 2 })
