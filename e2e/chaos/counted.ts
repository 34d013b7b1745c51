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
  // Calls of other objects find methods only on the prototype.
  for (const name of Object.getOwnPropertyNames(base.prototype)) {
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
