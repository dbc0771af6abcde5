//! A module without functions that nobody calls, and with one of each that it has several times.
//!
//! The SDK exports every callback that there is, also those for TCP, gRPC and queues. A proxy calls
//! what is exported, and compiles it. The filter serves HTTP alone; with the callbacks goes what only
//! they call.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{CodeSection, ExportSection, FunctionSection, ImportSection, Module};
use wasmparser::{ElementItems, ExternalKind, FunctionBody, Operator, Parser, Payload, TypeRef};

/// Callbacks of proxy-wasm that no request over HTTP causes.
const NOT_FOR_HTTP: [&str; 11] = [
    "proxy_on_downstream_connection_close",
    "proxy_on_downstream_data",
    "proxy_on_foreign_function",
    "proxy_on_grpc_close",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_receive_initial_metadata",
    "proxy_on_grpc_receive_trailing_metadata",
    "proxy_on_new_connection",
    "proxy_on_queue_ready",
    "proxy_on_upstream_connection_close",
    "proxy_on_upstream_data",
];

/// The same module as far as a proxy for HTTP can tell.
///
/// # Errors
/// When the module cannot be read, or its table is filled by expressions.
pub fn for_http(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let functions = Functions::of(module)?;
    let same = functions.same()?;
    let kept = functions.reached(&same);
    let mut numbers = vec![None; functions.count()];
    for (number, function) in (0..).zip(&kept) {
        if let Some(place) = numbers.get_mut(index(*function)) {
            *place = Some(number);
        }
    }
    // What is the same as another is that other.
    let number = |function: u32| {
        let kept = same.get(index(function)).copied().unwrap_or(function);
        numbers.get(index(kept)).copied().flatten()
    };
    let numbers = (0..).take(functions.count()).map(number).collect();
    let imported = functions.imported;
    let mut rewritten = Module::new();
    Renumbered { numbers, kept, imported, next_body: imported }
        .parse_core_module(&mut rewritten, Parser::new(0), module)
        .map_err(|error| anyhow::anyhow!("rewriting the module: {error}"))?;
    Ok(rewritten.finish())
}

fn index(function: u32) -> usize {
    usize::try_from(function).unwrap_or(usize::MAX)
}

/// The functions of a module: those of the host first, then its own.
struct Functions<'a> {
    imported: u32,
    types: Vec<u32>,
    bodies: Vec<FunctionBody<'a>>,
    /// What is called from outside, or by an address that stands in the table.
    roots: BTreeSet<u32>,
}

impl<'a> Functions<'a> {
    fn of(module: &'a [u8]) -> anyhow::Result<Self> {
        let (mut imported, mut types) = (0, Vec::new());
        let (mut bodies, mut roots) = (Vec::new(), BTreeSet::new());
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                    }
                }
                Payload::FunctionSection(section) => {
                    types = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == ExternalKind::Func && !NOT_FOR_HTTP.contains(&export.name)
                        {
                            roots.insert(export.index);
                        }
                    }
                }
                Payload::StartSection { func, .. } => {
                    roots.insert(func);
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let ElementItems::Functions(functions) = element?.items else {
                            anyhow::bail!("a table that is filled by expressions");
                        };
                        for function in functions {
                            roots.insert(function?);
                        }
                    }
                }
                Payload::CodeSectionEntry(body) => bodies.push(body),
                _ => {}
            }
        }
        Ok(Self { imported, types, bodies, roots })
    }

    fn count(&self) -> usize {
        index(self.imported) + self.bodies.len()
    }

    /// For each function the first one that does the same: of the same type, with the same code but
    /// for calls of functions that do the same.
    fn same(&self) -> anyhow::Result<Vec<u32>> {
        let mut same: Vec<u32> = (0..).take(self.count()).collect();
        loop {
            let mut known = BTreeMap::new();
            let mut now = same.clone();
            for (own, (body, of_type)) in (0..).zip(self.bodies.iter().zip(&self.types)) {
                let function = self.imported + own;
                let mut code = CodeSection::new();
                utils::parse_function_body(&mut Called { as_: &same }, &mut code, body.clone())
                    .map_err(|error| anyhow::anyhow!("reading function {function}: {error}"))?;
                let first = *known.entry((*of_type, encoded(&code))).or_insert(function);
                *now.get_mut(index(function)).context("a body too many")? = first;
            }
            if now == same {
                return Ok(same);
            }
            same = now;
        }
    }

    /// The functions that can be called, with only the first of those that do the same.
    fn reached(&self, same: &[u32]) -> BTreeSet<u32> {
        let first = |function: u32| same.get(index(function)).copied().unwrap_or(function);
        let mut reached = BTreeSet::new();
        let mut waiting: Vec<u32> = self.roots.iter().map(|root| first(*root)).collect();
        while let Some(function) = waiting.pop() {
            if !reached.insert(function) {
                continue;
            }
            let own = function.checked_sub(self.imported).map(index);
            let body = own.and_then(|own| self.bodies.get(own));
            let operators = body.and_then(|body| body.get_operators_reader().ok());
            for operator in operators.into_iter().flatten().flatten() {
                if let Operator::Call { function_index } | Operator::RefFunc { function_index } =
                    operator
                {
                    waiting.push(first(function_index));
                }
            }
        }
        reached
    }
}

fn encoded(code: &CodeSection) -> Vec<u8> {
    let mut bytes = Vec::new();
    wasm_encoder::Encode::encode(code, &mut bytes);
    bytes
}

/// Names each called function by the one that it is taken for.
struct Called<'a> {
    as_: &'a [u32],
}

impl Reencode for Called<'_> {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Self::Error>> {
        Ok(self.as_.get(index(function)).copied().unwrap_or(function))
    }
}

struct Renumbered {
    /// New number of each function; none of what is left out.
    numbers: Vec<Option<u32>>,
    kept: BTreeSet<u32>,
    imported: u32,
    next_body: u32,
}

impl Reencode for Renumbered {
    type Error = std::convert::Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error<Self::Error>> {
        Ok(self.numbers.get(index(function)).copied().flatten().unwrap_or(u32::MAX))
    }

    /// The numbers in it would be wrong. What ships has none.
    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: wasmparser::CustomSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        if section.name() == "name" {
            return Ok(());
        }
        utils::parse_custom_section(self, module, section)
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: wasmparser::ImportSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        let mut function = 0;
        for import in section.into_imports() {
            let import = import?;
            let is_function = matches!(import.ty, TypeRef::Func(_));
            if !is_function || self.kept.contains(&function) {
                self.parse_import(imports, import)?;
            }
            function += u32::from(is_function);
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        for (function, of_type) in (self.imported..).zip(section) {
            if self.kept.contains(&function) {
                functions.function(self.type_index(of_type?)?);
            }
        }
        Ok(())
    }

    fn parse_export(
        &mut self,
        exports: &mut ExportSection,
        export: wasmparser::Export<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        if NOT_FOR_HTTP.contains(&export.name) {
            return Ok(());
        }
        utils::parse_export(self, exports, export)
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        let function = self.next_body;
        self.next_body += 1;
        if self.kept.contains(&function) {
            utils::parse_function_body(self, code, body)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two functions that do the same, two more that do the same once those are one, one that only
    /// a callback for TCP calls, with an import of its own, and one that stands in the table alone.
    const MODULE: &str = r#"(module
        (import "env" "for_tcp" (func $for_tcp))
        (import "env" "for_http" (func $for_http))
        (table 2 2 funcref)
        (elem (i32.const 1) $in_table)
        (func $in_table (result i32) (i32.const 3))
        (func $one (result i32) (call $for_http) (i32.const 1))
        (func $one_again (result i32) (call $for_http) (i32.const 1))
        (func $calls_one (result i32) (i32.add (call $one) (i32.const 5)))
        (func $calls_one_again (result i32) (i32.add (call $one_again) (i32.const 5)))
        (func $calls_tcp (call $for_tcp))
        (func (export "proxy_on_new_connection") (call $calls_tcp))
        (func (export "proxy_on_request_headers") (result i32)
            (i32.add (call $calls_one) (i32.add (call $calls_one_again)
                (call_indirect (result i32) (i32.const 1))))))"#;

    fn rewritten() -> Vec<u8> {
        for_http(&wat::parse_str(MODULE).unwrap()).unwrap()
    }

    #[test]
    fn what_only_callbacks_for_other_than_http_need_is_gone() {
        let module = rewritten();
        let (mut imports, mut exports) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&module) {
            match payload.unwrap() {
                Payload::ImportSection(section) => {
                    imports.extend(section.into_imports().map(|one| one.unwrap().name.to_owned()));
                }
                Payload::ExportSection(section) => {
                    exports.extend(section.into_iter().map(|one| one.unwrap().name.to_owned()));
                }
                _ => {}
            }
        }
        assert_eq!(imports, ["for_http"]);
        assert_eq!(exports, ["proxy_on_request_headers"]);
    }

    #[test]
    fn of_functions_that_do_the_same_one_is_left() {
        // The one in the table, the first of each pair, and the callback.
        assert_eq!(Functions::of(&rewritten()).unwrap().bodies.len(), 4);
    }

    #[test]
    fn calls_of_what_went_are_calls_of_what_stayed() {
        let module = rewritten();
        let functions = Functions::of(&module).unwrap();
        let calls = |body: &FunctionBody<'_>| -> Vec<u32> {
            let operators = body.get_operators_reader().unwrap().into_iter();
            let called = operators.filter_map(|operator| match operator.unwrap() {
                Operator::Call { function_index } => Some(function_index),
                _ => None,
            });
            called.collect()
        };
        // Number 0 is the import, 1 the function in the table.
        let called: Vec<_> = functions.bodies.iter().map(calls).collect();
        assert_eq!(called, [vec![], vec![0], vec![2], vec![3, 3]]);
    }
}
