//! Calls through the table, so that no host's compiler copies functions into each other.
//!
//! Envoy compiles a module before it is ready, with V8's optimising compiler alone. Without counts of
//! calls to go by, that compiler copies into each function whatever it calls until the function has
//! grown by twice its size: chains of panics, the allocator, formatting. That is work on two and a half
//! times the code, for nothing. It cannot be told to leave it, but it follows no call whose target it
//! would have to look up. The Rust compiler has already copied what is worth it.

use std::collections::BTreeSet;

use anyhow::Context;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{CodeSection, ElementSection, Elements, Instruction, Module, TableSection};
use wasmparser::{Operator, Parser, Payload, TypeRef};

/// Bodies below this many bytes are still called directly: copying them costs no more than the call.
const SMALLEST: usize = 30;

/// The same module with its direct calls of larger functions made through its table.
///
/// # Errors
/// When the module cannot be read, or has no table or not one of a fixed size.
pub fn through_the_table(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let calls = Calls::of(module)?;
    let mut rewritten = Module::new();
    Rewriter { calls }
        .parse_core_module(&mut rewritten, Parser::new(0), module)
        .map_err(|error| anyhow::anyhow!("rewriting the module: {error}"))?;
    Ok(rewritten.finish())
}

/// What is known of a module's functions before any is rewritten.
struct Calls {
    /// Functions that come from the host; they are numbered first.
    imported: u32,
    /// Type of each function of the module's own.
    types: Vec<u32>,
    /// Places of the table that are in use.
    table: u32,
    /// The functions that get a place behind those, in this order.
    targets: Vec<u32>,
}

impl Calls {
    fn of(module: &[u8]) -> anyhow::Result<Self> {
        let (mut imported, mut types, mut table) = (0, Vec::new(), None);
        let (mut sizes, mut called) = (Vec::new(), BTreeSet::new());
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
                Payload::TableSection(section) => {
                    let first = section.into_iter().next().context("no table")??.ty;
                    anyhow::ensure!(first.maximum == Some(first.initial), "a table that grows");
                    table = Some(u32::try_from(first.initial)?);
                }
                Payload::CodeSectionEntry(body) => {
                    sizes.push(body.range().end - body.range().start);
                    for operator in body.get_operators_reader()? {
                        if let Operator::Call { function_index } = operator? {
                            called.insert(function_index);
                        }
                    }
                }
                _ => {}
            }
        }
        let large = |function: &u32| {
            let own = function.checked_sub(imported).and_then(|own| usize::try_from(own).ok());
            own.and_then(|own| sizes.get(own)).is_some_and(|size| *size >= SMALLEST as u64)
        };
        let targets = called.into_iter().filter(large).collect();
        Ok(Self { imported, types, table: table.context("no table")?, targets })
    }

    /// Place in the table and type of a function that is called through it.
    fn place(&self, function: u32) -> Option<(u32, u32)> {
        let index = u32::try_from(self.targets.binary_search(&function).ok()?).ok()?;
        let own = usize::try_from(function.checked_sub(self.imported)?).ok()?;
        Some((self.table + index, *self.types.get(own)?))
    }
}

struct Rewriter {
    calls: Calls,
}

impl Reencode for Rewriter {
    type Error = std::convert::Infallible;

    fn parse_table(
        &mut self,
        tables: &mut TableSection,
        mut table: wasmparser::Table<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        if tables.is_empty() {
            table.ty.initial += self.calls.targets.len() as u64;
            table.ty.maximum = Some(table.ty.initial);
        }
        utils::parse_table(self, tables, table)
    }

    fn parse_element_section(
        &mut self,
        elements: &mut ElementSection,
        section: wasmparser::ElementSectionReader<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        utils::parse_element_section(self, elements, section)?;
        let behind = wasm_encoder::ConstExpr::i32_const(self.calls.table.cast_signed());
        elements.active(None, &behind, Elements::Functions(self.calls.targets.as_slice().into()));
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), reencode::Error<Self::Error>> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            let place = match operator {
                Operator::Call { function_index } => self.calls.place(function_index),
                _ => None,
            };
            match place {
                Some((place, type_index)) => {
                    function.instruction(&Instruction::I32Const(place.cast_signed()));
                    function.instruction(&Instruction::CallIndirect { type_index, table_index: 0 });
                }
                None => {
                    function.instruction(&self.instruction(operator)?);
                }
            }
        }
        code.function(&function);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One function of the host's, one small and one large of the module's own; the last calls each.
    const CALLER: &str = r#"(module
        (import "env" "host" (func $host))
        (table 3 3 funcref)
        (elem (i32.const 1) $small)
        (func $small (param i32) (result i32) (local.get 0))
        (func $large (param i32) (result i32)
            (i32.add (i32.mul (i32.const 1000000) (i32.const 1000001))
                (i32.add (i32.mul (i32.const 1000002) (i32.const 1000003))
                    (i32.mul (i32.const 1000004) (i32.add (i32.const 1000005) (local.get 0))))))
        (func (export "run") (result i32)
            (call $host)
            (i32.add (call $small (i32.const 1)) (call $large (i32.const 2)))))"#;

    fn rewritten(text: &str) -> anyhow::Result<Vec<u8>> {
        through_the_table(&wat::parse_str(text)?)
    }

    fn calls(module: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            let Payload::CodeSectionEntry(body) = payload.unwrap() else { continue };
            let mut before = None;
            for operator in body.get_operators_reader().unwrap() {
                let operator = operator.unwrap();
                match operator {
                    Operator::Call { function_index } => {
                        found.push(format!("call {function_index}"))
                    }
                    Operator::CallIndirect { type_index, table_index } => {
                        found.push(format!("{before:?} of {type_index} in {table_index}"))
                    }
                    _ => {}
                }
                before = Some(operator);
            }
        }
        found
    }

    #[test]
    fn only_large_functions_of_the_module_are_called_through_the_table() {
        let module = rewritten(CALLER).unwrap();
        let expected = ["call 0", "call 1", "Some(I32Const { value: 3 }) of 1 in 0"];
        assert_eq!(calls(&module), expected);
    }

    #[test]
    fn the_table_grows_by_what_is_called_and_keeps_what_it_held() {
        let module = rewritten(CALLER).unwrap();
        let mut places = Vec::new();
        for payload in Parser::new(0).parse_all(&module) {
            match payload.unwrap() {
                Payload::TableSection(section) => {
                    let table = section.into_iter().next().unwrap().unwrap().ty;
                    assert_eq!((table.initial, table.maximum), (4, Some(4)));
                }
                Payload::ElementSection(section) => {
                    for element in section {
                        let element = element.unwrap();
                        let wasmparser::ElementKind::Active { offset_expr, .. } = element.kind
                        else {
                            panic!("not placed in a table");
                        };
                        let offset = offset_expr.get_operators_reader().read().unwrap();
                        let wasmparser::ElementItems::Functions(functions) = element.items else {
                            panic!("not a list of functions");
                        };
                        let functions: Vec<_> = functions.into_iter().map(Result::unwrap).collect();
                        places.push(format!("{offset:?}: {functions:?}"));
                    }
                }
                _ => {}
            }
        }
        assert_eq!(places, ["I32Const { value: 1 }: [1]", "I32Const { value: 3 }: [2]"]);
    }

    #[test]
    fn a_module_whose_table_cannot_be_enlarged_is_refused() {
        for table in ["", "(table 3 funcref)", "(table 3 9 funcref)"] {
            let text = CALLER.replace("(table 3 3 funcref)", table).replace(
                "(elem (i32.const 1) $small)",
                if table.is_empty() { "" } else { "(elem (i32.const 1) $small)" },
            );
            assert!(rewritten(&text).is_err(), "{table}");
        }
    }
}
