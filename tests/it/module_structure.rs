//! The structure within the crates: two modules that are not parent and child do not depend on each
//! other, directly or through others, and the methods of a type are in the file that declares it.
//!
//! Rust requires neither. Without them, a file can be understood only together with its circle, and
//! a type's fields can be changed by any file that adds methods to it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    env, fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, File, Item, ItemImpl, ItemMacro, ItemMod, ItemUse, Type, UseTree, Visibility,
    visit::{self, Visit},
};

/// The names of the modules from the crate's root down to one; empty for the root.
type Module = Vec<String>;

/// The types with methods in a second file: the type, the module of that file, and the reason.
const APART: [(&str, &str, &str); 2] = [
    ("EventName", "schema", "it knows the types of payloads, which know the names"),
    ("RequestName", "schema", "it knows the types of payloads, which know the names"),
];

/// The modules of a crate, with the contents of their files.
struct Crate {
    /// The directory of its sources, for messages.
    root: PathBuf,
    modules: BTreeMap<Module, Source>,
}

/// The parts of a file that are relevant here. Code that only tests have is left out.
#[derive(Default)]
struct Source {
    /// The paths in the file: of imports, types and functions.
    paths: Vec<Vec<String>>,
    /// The names that it re-exports, each with the path of its origin.
    exports: BTreeMap<String, Vec<String>>,
    /// The types that it declares.
    types: BTreeSet<String>,
    /// The types with an `impl` block in the file.
    implemented: BTreeSet<String>,
    /// The modules directly below it.
    children: BTreeSet<String>,
}

impl Crate {
    fn read(root: PathBuf) -> Self {
        let mut modules = BTreeMap::new();
        let roots = ["lib.rs", "main.rs"].map(|name| root.join(name));
        for file in roots.into_iter().filter(|file| file.is_file()) {
            read_modules(&mut modules, Vec::new(), &root, &file);
        }
        Self { root, modules }
    }

    /// Resolves a path in one module to the module of its target, past re-exports. `None` if the
    /// target is in another crate.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let mut target = match path.first()?.as_str() {
            "crate" => path[1..].to_vec(),
            "self" => [from, &path[1..]].concat(),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                [&from[..from.len().checked_sub(ups)?], &path[ups..]].concat()
            }
            first => {
                let child = [from, &[first.to_owned()][..]].concat();
                self.modules.contains_key(&child).then(|| [from, path].concat())?
            }
        };
        let mut rest = Vec::new();
        while !self.modules.contains_key(&target) {
            rest.insert(0, target.pop()?);
        }
        let exported = rest.first().and_then(|name| self.modules[&target].exports.get(name));
        match exported {
            Some(origin) if depth < 8 => {
                let path = [origin, &rest[1..]].concat();
                self.resolve(&target, &path, depth + 1).or(Some(target))
            }
            _ => Some(target),
        }
    }

    /// Returns the modules that each module depends on, except for its parents and children.
    fn dependencies(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let of = |(module, source): (&'_ Module, &Source)| {
            let paths = source.paths.iter();
            let targets = paths.filter_map(|path| self.resolve(module, path, 0));
            targets.filter(|target| !is_family(module, target)).collect()
        };
        self.modules.iter().map(|(module, source)| (module, of((module, source)))).collect()
    }

    /// Returns the circles of dependencies, each the shortest one of its first module.
    fn circles(&self) -> Vec<String> {
        let dependencies = self.dependencies();
        let mut reported: BTreeSet<&Module> = BTreeSet::new();
        let mut circles = Vec::new();
        for module in dependencies.keys() {
            let Some(circle) = shortest_circle(&dependencies, module) else { continue };
            if !circle.iter().any(|module| reported.contains(module)) {
                let names: Vec<_> = circle.iter().map(|module| module.join("::")).collect();
                circles.push(format!("{}: {}", self.root.display(), names.join(" → ")));
            }
            reported.extend(circle);
        }
        circles
    }

    /// Returns the types with methods in a file that does not declare them.
    fn strangers(&self) -> impl Iterator<Item = String> {
        self.modules.iter().flat_map(move |(module, source)| {
            let module = module.join("::");
            let strange = source.implemented.difference(&source.types).filter({
                let module = module.clone();
                move |name| !APART.iter().any(|(t, m, _)| *t == **name && *m == module)
            });
            strange.map(move |name| format!("{}: {name} in {module}", self.root.display()))
        })
    }
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let file: File =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut source = Self::default();
        source.visit_file(&file);
        source
    }

    /// Adds the contents of another root of the crate: a library and a binary may have the same
    /// modules.
    fn merge(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.exports.extend(other.exports);
        self.types.extend(other.types);
        self.implemented.extend(other.implemented);
    }

    fn add_use(&mut self, prefix: &[String], tree: &UseTree, is_public: bool) {
        let with = |name: String| [prefix, &[name][..]].concat();
        match tree {
            UseTree::Path(path) => {
                self.add_use(&with(path.ident.to_string()), &path.tree, is_public);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.add_use(prefix, tree, is_public));
            }
            UseTree::Name(name) => {
                let name = name.ident.to_string();
                self.add_path(if name == "self" { prefix.to_vec() } else { with(name) }, is_public);
            }
            UseTree::Rename(rename) => {
                let path = with(rename.ident.to_string());
                if is_public {
                    self.exports.insert(rename.rename.to_string(), path.clone());
                }
                self.paths.push(path);
            }
            UseTree::Glob(_) => self.paths.push(prefix.to_vec()),
        }
    }

    fn add_path(&mut self, path: Vec<String>, is_public: bool) {
        if is_public && let Some(name) = path.last() {
            self.exports.insert(name.clone(), path.clone());
        }
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attributes, declared) = match item {
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Mod(item) => (&item.attrs, None),
            Item::Fn(item) => (&item.attrs, None),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Macro(item) => (&item.attrs, None),
            _ => return visit::visit_item(self, item),
        };
        if attributes.iter().any(is_for_tests) {
            return;
        }
        self.types.extend(declared.map(ToString::to_string));
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        // A module within a file would have paths of its own; only tests have such modules.
        assert!(item.content.is_none(), "the module {} is to have a file", item.ident);
        self.children.insert(item.ident.to_string());
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        self.types.extend(types_in(item.mac.tokens.clone()));
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_use(&[], &item.tree, !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        if item.trait_.is_none()
            && let Type::Path(path) = &*item.self_ty
            && let Some(name) = path.path.segments.last()
        {
            self.implemented.insert(name.ident.to_string());
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

/// Returns the shortest path from a module back to itself, if there is one.
fn shortest_circle<'a>(
    dependencies: &'a BTreeMap<&Module, BTreeSet<Module>>,
    module: &'a Module,
) -> Option<Vec<&'a Module>> {
    let mut ways = VecDeque::from([vec![module]]);
    let mut reached = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in &dependencies[way[way.len() - 1]] {
            if next == module {
                return Some(way);
            }
            if reached.insert(next) {
                ways.push_back([&way[..], &[next]].concat());
            }
        }
    }
    None
}

/// Returns true for `#[cfg(test)]` and its variants.
fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| {
            let condition = list.tokens.to_string();
            condition.contains("test") && !condition.contains("not")
        })
}

/// Reads the file of a module, and those of the modules below it in `folder`.
fn read_modules(
    modules: &mut BTreeMap<Module, Source>,
    module: Module,
    folder: &Path,
    file: &Path,
) {
    let source = Source::read(file);
    for child in &source.children {
        let below = [&module[..], std::slice::from_ref(child)].concat();
        let folder = folder.join(child);
        let files = [folder.with_extension("rs"), folder.join("mod.rs")];
        // A module with `#[path]` has its file elsewhere; those are for tests.
        if let Some(file) = files.iter().find(|file| file.is_file()) {
            read_modules(modules, below, &folder, file);
        }
    }
    modules.entry(module).or_default().merge(source);
}

/// Returns the types that an invocation of a macro declares.
fn types_in(tokens: TokenStream) -> Vec<String> {
    let mut types = Vec::new();
    let mut declares = false;
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if declares {
                    types.push(name.to_string());
                }
                declares = name == "enum" || name == "struct";
            }
            TokenTree::Group(group) => types.extend(types_in(group.stream())),
            _ => {}
        }
    }
    types
}

/// Returns true if one of the modules is within the other.
fn is_family(one: &Module, other: &Module) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn crates() -> Vec<Crate> {
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let root = Path::new(&root);
    let members = fs::read_dir(root.join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let sources = members.chain([root.to_owned()]).map(|member| member.join("src"));
    sources.filter(|source| source.is_dir()).map(Crate::read).collect()
}

#[test]
fn modules_depend_on_each_other_in_one_direction() {
    let circles: Vec<_> = crates().iter().flat_map(Crate::circles).collect();
    assert!(circles.is_empty(), "circles of modules:\n{}", circles.join("\n"));
}

#[test]
fn types_have_their_methods_in_one_file() {
    let crates = crates();
    let strangers: Vec<_> = crates.iter().flat_map(Crate::strangers).collect();
    assert!(strangers.is_empty(), "methods in other files:\n{}", strangers.join("\n"));
}
