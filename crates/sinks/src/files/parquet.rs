//! The rows of a log as a Parquet file with typed columns.
//!
//! A column of kind `Any` becomes three: `value` holds numbers (truth values as 0 and 1),
//! `value_text` holds text, JSON, and the digits of whole numbers beyond 2^53, `value_kind` says
//! which. A row group is written whenever its rows reach 64 Ki or 16 MiB, so memory is bounded.

use std::fs::File;
use std::io;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::WHOLE_MAX;
use super::layout::{Kind, Layout};
use super::log::Log;

const GROUP_ROWS_MAX: usize = 64 << 10;
const GROUP_BYTES_MAX: usize = 16 << 20;

pub(super) fn convert(log: &Log, file: File) -> io::Result<File> {
    let layout = &log.begin.layout;
    let schema = schema(layout).map_err(io::Error::other)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))
        .map_err(io_error)?;
    let mut group = Group::of(layout);
    let mut row = csv::StringRecord::new();
    log.each_rows(|rows| {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(rows);
        while reader.read_record(&mut row).map_err(io::Error::other)? {
            group.push(layout, &row).map_err(io::Error::other)?;
            if group.rows >= GROUP_ROWS_MAX || group.bytes >= GROUP_BYTES_MAX {
                group.write(&mut writer).map_err(io_error)?;
                group = Group::of(layout);
            }
        }
        Ok(())
    })?;
    if group.rows > 0 {
        group.write(&mut writer).map_err(io_error)?;
    }
    writer.into_inner().map_err(io_error)
}

/// Keeps what kind of failure of the file it was.
fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}

/// The values of one column of a row group; `levels` says which rows have one.
enum Values {
    Bool(Vec<bool>),
    Long(Vec<i64>),
    Double(Vec<f64>),
    Bytes(Vec<ByteArray>),
}

struct Column {
    name: String,
    values: Values,
    levels: Option<Vec<i16>>,
    logical: Option<LogicalType>,
}

impl Column {
    fn new(name: impl Into<String>, values: Values, nullable: bool) -> Self {
        Self {
            name: name.into(),
            values,
            levels: nullable.then(Vec::new),
            logical: None,
        }
    }

    fn text(name: impl Into<String>, nullable: bool) -> Self {
        Self {
            logical: Some(LogicalType::String),
            ..Self::new(name, Values::Bytes(Vec::new()), nullable)
        }
    }

    /// Says whether the row has a value here; a column without levels always has.
    fn level(&mut self, is_there: bool) -> Result<bool, String> {
        match &mut self.levels {
            Some(levels) => levels.push(is_there.into()),
            None if !is_there => return Err(format!("column `{}` has no value", self.name)),
            None => {}
        }
        Ok(is_there)
    }

    fn push_text(&mut self, text: Option<&[u8]>) -> Result<(), String> {
        self.level(text.is_some())?;
        if let (Values::Bytes(values), Some(text)) = (&mut self.values, text) {
            values.push(ByteArray::from(text.to_vec()));
        }
        Ok(())
    }

    fn push_double(&mut self, number: Option<f64>) -> Result<(), String> {
        self.level(number.is_some())?;
        if let (Values::Double(values), Some(number)) = (&mut self.values, number) {
            values.push(number);
        }
        Ok(())
    }

    fn push(&mut self, kind: Kind, text: &str, is_null: bool) -> Result<(), String> {
        if !self.level(!is_null)? {
            return Ok(());
        }
        let unreadable = || format!("column `{}` is {text:?}, expected {kind:?}", self.name);
        match &mut self.values {
            Values::Bool(values) => values.push(text.parse().map_err(|_| unreadable())?),
            Values::Double(values) => values.push(text.parse().map_err(|_| unreadable())?),
            Values::Long(values) if kind == Kind::Timestamp => {
                let moment: record::Timestamp = text.parse().map_err(|_| unreadable())?;
                values.push(moment.micros());
            }
            Values::Long(values) => values.push(text.parse().map_err(|_| unreadable())?),
            Values::Bytes(values) if kind == Kind::Bytes => {
                values.push(unhex(text).ok_or_else(unreadable)?.into());
            }
            Values::Bytes(values) => values.push(text.into()),
        }
        Ok(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok())
        .collect()
}

/// Rows by column.
struct Group {
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

impl Group {
    fn of(layout: &Layout) -> Self {
        let mut columns = Vec::new();
        for column in &layout.columns {
            let (name, null) = (column.name.as_str(), column.nullable);
            let new = |values| Column::new(name, values, null);
            let last = match column.kind {
                Kind::Bool => new(Values::Bool(Vec::new())),
                Kind::Int => new(Values::Long(Vec::new())),
                Kind::Float => new(Values::Double(Vec::new())),
                Kind::Text => Column::text(name, null),
                Kind::Json => Column {
                    logical: Some(LogicalType::Json),
                    ..Column::text(name, null)
                },
                Kind::Bytes => new(Values::Bytes(Vec::new())),
                Kind::Timestamp => Column {
                    logical: Some(LogicalType::timestamp(true, TimeUnit::MICROS)),
                    ..new(Values::Long(Vec::new()))
                },
                Kind::Any => {
                    columns.push(Column::new(name, Values::Double(Vec::new()), true));
                    columns.push(Column::text(format!("{name}_text"), true));
                    Column::text(format!("{name}_kind"), false)
                }
            };
            columns.push(last);
        }
        columns.push(Column::text("scope", false));
        columns.push(Column::new("position", Values::Long(Vec::new()), false));
        Self {
            columns,
            rows: 0,
            bytes: 0,
        }
    }

    fn push(&mut self, layout: &Layout, row: &csv::StringRecord) -> Result<(), String> {
        let mut kinds = layout.columns.len();
        let mut columns = self.columns.iter_mut();
        let mut next = || columns.next().ok_or("the row has too many cells");
        for (index, column) in layout.columns.iter().enumerate() {
            let text = row.get(index).unwrap_or("");
            let kind = column.has_kind().then(|| {
                kinds += 1;
                row.get(kinds - 1).unwrap_or("")
            });
            if column.kind == Kind::Any {
                let (number, text) = number_and_text(text, kind.unwrap_or(""))?;
                next()?.push_double(number)?;
                next()?.push_text(text.map(str::as_bytes))?;
                next()?.push_text(kind.map(str::as_bytes))?;
                continue;
            }
            let is_null = match kind {
                Some(kind) => kind == "null",
                None => column.nullable && text.is_empty(),
            };
            next()?.push(column.kind, text, is_null)?;
        }
        next()?.push(Kind::Text, row.get(kinds).unwrap_or(""), false)?;
        next()?.push(Kind::Int, row.get(kinds + 1).unwrap_or(""), false)?;
        self.rows += 1;
        self.bytes += row.as_slice().len();
        Ok(())
    }

    fn write(&self, writer: &mut SerializedFileWriter<File>) -> Result<(), ParquetError> {
        let mut group = writer.next_row_group()?;
        for column in &self.columns {
            let Some(mut out) = group.next_column()? else {
                return Err(ParquetError::General(
                    "the schema has too few columns".into(),
                ));
            };
            let levels = column.levels.as_deref();
            match &column.values {
                Values::Bool(values) => out.typed::<BoolType>().write_batch(values, levels, None),
                Values::Long(values) => out.typed::<Int64Type>().write_batch(values, levels, None),
                Values::Double(values) => {
                    out.typed::<DoubleType>().write_batch(values, levels, None)
                }
                Values::Bytes(values) => out
                    .typed::<ByteArrayType>()
                    .write_batch(values, levels, None),
            }?;
            out.close()?;
        }
        group.close()?;
        Ok(())
    }
}

fn number_and_text<'a>(
    text: &'a str,
    kind: &str,
) -> Result<(Option<f64>, Option<&'a str>), String> {
    let unreadable = || format!("a value of kind {kind:?} is {text:?}");
    Ok(match kind {
        "null" => (None, None),
        "bool" => (Some(if text == "true" { 1.0 } else { 0.0 }), None),
        "int" => {
            let number: f64 = text.parse().map_err(|_| unreadable())?;
            (Some(number), (number.abs() >= WHOLE_MAX).then_some(text))
        }
        "float" => (Some(text.parse().map_err(|_| unreadable())?), None),
        _ => (None, Some(text)),
    })
}

fn schema(layout: &Layout) -> Result<Type, ParquetError> {
    let mut fields = Vec::new();
    for column in Group::of(layout).columns {
        let physical = match column.values {
            Values::Bool(_) => BoolType::get_physical_type(),
            Values::Long(_) => Int64Type::get_physical_type(),
            Values::Double(_) => DoubleType::get_physical_type(),
            Values::Bytes(_) => Physical::BYTE_ARRAY,
        };
        let repetition = match column.levels {
            Some(_) => Repetition::OPTIONAL,
            None => Repetition::REQUIRED,
        };
        let field = Type::primitive_type_builder(&column.name, physical)
            .with_repetition(repetition)
            .with_logical_type(column.logical)
            .build()?;
        fields.push(Arc::new(field));
    }
    Type::group_type_builder(&layout.name)
        .with_fields(fields)
        .build()
}
