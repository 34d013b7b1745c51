// Part of a control plane's bundle: logs each entry of a Durable Object, so that a test can show that there was none.
type Entered = (...args: unknown[]) => unknown
// A mixin's constructor takes whatever its base takes; TypeScript wants exactly this shape.
// oxlint-disable-next-line typescript/no-explicit-any
type Class = new (...args: any[]) => object

export const enteredPhrase = 'object entered'

export function counted<Base extends Class>(base: Base, object: string): Base {
  const say = (of: unknown, entry: string) => {
    const { ctx } = of as { ctx: { id: { name?: string } } }
    console.log(JSON.stringify({ level: 'info', msg: enteredPhrase, object, entry, name: ctx.id.name }))
  }
  const Counted = class extends base {
    // oxlint-disable-next-line typescript/no-explicit-any
    constructor(...args: any[]) {
      super(...args)
      say(this, 'constructor')
    }
  }
  // Calls of other objects find methods only on the prototype, or on one that it inherits from.
  for (const name of methodNames(base.prototype)) {
    const method = (base.prototype as Record<string, unknown>)[name]
    if (name === 'constructor' || typeof method !== 'function') continue
    const entry = function (this: unknown, ...args: unknown[]): unknown {
      say(this, name)
      return (method as Entered).apply(this, args)
    }
    Object.defineProperty(Counted.prototype, name, { value: entry, writable: true, configurable: true })
  }
  return Counted
}

/** Up to the platform's own class, which has no methods of ours. */
function methodNames(prototype: object): ReadonlySet<string> {
  const names = new Set<string>()
  for (let at: object | null = prototype; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
    if (at.constructor.name === 'DurableObject') break
    for (const name of Object.getOwnPropertyNames(at)) names.add(name)
  }
  return names
}
