// The reference as one page of HTML without script: every operation, its parameters, bodies and answers, and all schemas, read from the
// OpenAPI document alone. Folding is <details>; finding is the browser's own search.

import type { OpenApiDocument } from '../openapi.ts'

interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly oneOf?: readonly Schema[]
  readonly anyOf?: readonly Schema[]
  readonly allOf?: readonly Schema[]
  readonly additionalProperties?: Schema | boolean
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly format?: string
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
}
interface Media {
  readonly schema?: Schema
}
interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly description?: string
  readonly tags: readonly string[]
  readonly security: readonly Readonly<Record<string, unknown>>[]
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly description?: string
    readonly schema: Schema
  }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, Media>> }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Readonly<Record<string, Media>> }>>
}
interface Document {
  readonly info: { readonly title: string; readonly description: string }
  readonly tags: readonly { readonly name: string; readonly description: string }[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

const style = `:root{color-scheme:light dark;--line:#8884;--dim:#777;--code:#8881}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1.5rem}
h1{margin:0}h2{margin:2.5rem 0 .25rem;border-bottom:1px solid var(--line)}h4{margin:1rem 0 .25rem}
code{font:13px ui-monospace,monospace;background:var(--code);padding:.1em .3em;border-radius:3px}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:0 .75rem}details[open]{padding-bottom:.75rem}
summary{cursor:pointer;padding:.5rem 0}summary b{display:inline-block;min-width:4.2em;font:600 13px ui-monospace,monospace}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-top:1px solid var(--line)}
td:first-child{white-space:nowrap}.dim{color:var(--dim)}p{white-space:pre-line;margin:.5rem 0}nav a{margin-right:1rem}`

export function docsPage(openApi: OpenApiDocument): string {
  // The parts of the document that this page reads, in the shape that `openApiDocument` makes.
  const { info, tags, paths, components } = openApi as object as Document
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, ...operation })),
  )
  const sections = tags.map(
    ({ name, description }) => `<h2 id="${escape(name)}">${escape(name)}</h2><p class="dim">${prose(description)}</p>
${operations
  .filter((operation) => operation.tags.includes(name))
  .map(operationPart)
  .join('\n')}`,
  )
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="schema-${escape(name)}"><summary><code>${escape(name)}</code> <span class="dim">${prose(schema.description ?? '')}</span></summary>${fields(schema)}</details>`,
  )
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>${escape(info.title)} API</title><style>${style}</style></head><body>
<h1>${escape(info.title)} API</h1><p>${prose(info.description)} The same as a document: <a href="/openapi.json">openapi.json</a>.</p>
<nav>${[...tags.map(({ name }) => name), 'schemas'].map((name) => `<a href="#${escape(name)}">${escape(name)}</a>`).join('')}</nav>
${sections.join('\n')}
<h2 id="schemas">schemas</h2>
${schemas.join('\n')}
</body></html>
`
}

function operationPart(operation: Operation & { method: string; path: string }): string {
  const { method, path, summary, description, parameters = [], requestBody, responses, operationId } = operation
  const bodies = Object.values(requestBody?.content ?? {})
  return `<details id="${escape(operationId)}"><summary><b>${escape(method)}</b> <code>${escape(path)}</code> ${escape(summary)}</summary>
${description ? `<p>${prose(description)}</p>` : ''}
${
  parameters.length > 0
    ? `<h4>Parameters</h4>${table(
        parameters.map((p) => [
          `<code>${escape(p.name)}</code>`,
          `${p.in}${p.required ? ', required' : ''}`,
          typeOf(p.schema),
          prose(p.description ?? p.schema.description ?? ''),
        ]),
      )}`
    : ''
}
${bodies.map(({ schema }) => (schema ? `<h4>Body</h4><p>${typeOf(schema)}</p>${schema.$ref ? '' : fields(schema)}` : '')).join('')}
<h4>Answers</h4>${table(
    Object.entries(responses).map(([status, { description, content }]) => [
      `<code>${escape(status)}</code>`,
      Object.entries(content ?? {})
        .map(([type, { schema }]) => `${escape(type)}${schema ? `: ${typeOf(schema)}` : ''}`)
        .join('<br>'),
      prose(description),
    ]),
  )}</details>`
}

function fields(schema: Schema): string {
  const variants = schema.oneOf ?? schema.anyOf
  if (variants) return `<p>One of: ${variants.map(typeOf).join(', ')}</p>`
  if (!schema.properties) return `<p>${typeOf(schema)}</p>`
  return table(
    Object.entries(schema.properties).map(([name, property]) => [
      `<code>${escape(name)}</code>${schema.required?.includes(name) ? '' : ' <span class="dim">optional</span>'}`,
      typeOf(property),
      prose(property.description ?? ''),
    ]),
  )
}

function typeOf(schema: Schema): string {
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1)!
    return `<a href="#schema-${escape(name)}">${escape(name)}</a>`
  }
  const variants = schema.oneOf ?? schema.anyOf ?? schema.allOf
  if (variants) return variants.map(typeOf).join(' or ')
  if (schema.const !== undefined) return `<code>${escape(JSON.stringify(schema.const))}</code>`
  if (schema.enum) return schema.enum.map((value) => `<code>${escape(String(value))}</code>`).join(' ')
  if (schema.items) return `list of ${typeOf(schema.items)}${limits(schema)}`
  if (typeof schema.additionalProperties === 'object' && !schema.properties)
    return `map to ${typeOf(schema.additionalProperties) || 'anything'}`
  return escape([schema.type ?? ''].flat().join(' or ')) + limits(schema)
}

function limits(schema: Schema): string {
  const low = schema.minimum ?? schema.minLength ?? schema.minItems
  const high = schema.maximum ?? schema.maxLength ?? schema.maxItems
  const said = [
    schema.format,
    low !== undefined && `from ${low}`,
    high !== undefined && high < Number.MAX_SAFE_INTEGER && `up to ${high}`,
    schema.default !== undefined && `default ${JSON.stringify(schema.default)}`,
  ].filter((part) => typeof part === 'string')
  return said.length > 0 ? ` <span class="dim">${escape(said.join(', '))}</span>` : ''
}

const table = (rows: readonly (readonly string[])[]): string =>
  `<table>${rows.map((cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`).join('')}</table>`

const escape = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

/** Our descriptions use only one form of Markdown, `code`. */
const prose = (text: string): string => escape(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
